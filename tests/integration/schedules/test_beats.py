from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from beats import BeatProcess
from impasto.producer import Client
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries
from impasto.producer.schedules.spec import ScheduleSpec
from stage import picture, png
from workers import eventually


def test_several_beats_fire_once_and_the_next_takes_over_from_one_that_was_killed(
    client: Client,
    environment: dict[str, str],
    book: Book,
    entries: Entries,
    make_spec: Callable[..., ScheduleSpec],
    photos: Path,
    tmp_path: Path,
) -> None:
    client.connection.check()
    spec = make_spec(overlap="allow")
    beats = [BeatProcess(environment, tmp_path / f"beat-{n}.log") for n in range(3)]
    with beats[0] as first:
        eventually(lambda: first.leads, what="the first beat")
        with beats[1] as second:
            second.started()
            assert entries.add(spec, last_run_at=spec.created_at)
            eventually(lambda: bool(book.state(spec.name).results), what="the late fire")
            result = book.state(spec.name).results[0]
            assert (result.outcome, result.by) == ("submitted", "clock")
            assert client.connection.ledger.batches() == [result.batch]

            first.end(signal.SIGKILL)
            (photos / "photo 1.png").write_bytes(png(picture(1)))
            client.schedules.run_now(spec.name)
            eventually(lambda: book.fires() == [], what="the standby's fire")
            assert second.leads
            assert len(client.connection.ledger.batches()) == 2

            with beats[2] as third:
                third.started()
                assert second.end(signal.SIGTERM) == 0
                eventually(lambda: third.leads, what="the third beat")
                assert client.schedules.beat_lives()

    entry = entries.get(spec.name)
    assert entry.came_to == result.fired_at
    assert entry.due_at == result.fired_at + timedelta(days=1)
