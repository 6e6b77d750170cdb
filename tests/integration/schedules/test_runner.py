from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from impasto.producer import Client
from impasto.producer.nights import NightOutcome, run_night
from impasto.producer.schedules import runner as running
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries, by_clock
from impasto.producer.schedules.records import Fire, FireResult
from impasto.producer.schedules.runner import Runner
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.shared import layout
from impasto.shared.ledger import BatchState
from stage import picture, png
from workers import eventually

LAST_NIGHT = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)
THIS_NIGHT = LAST_NIGHT + timedelta(days=1)


class Nights:
    """One schedule, whose nights come when the test says so."""

    def __init__(
        self, client: Client, entries: Entries, book: Book, spec: ScheduleSpec, photos: Path
    ) -> None:
        self.client, self.book, self.name = client, book, spec.name
        self.runner = Runner(client, entries, book)
        self.photos = photos
        client.connection.check()
        assert entries.add(spec, last_run_at=LAST_NIGHT - timedelta(days=1))

    def fire(self, at: datetime, *, late: timedelta = timedelta(0), **more: object) -> Fire:
        fire = Fire(schedule=self.name, fired_at=at, noticed_at=at + late, **more)
        self.book.write_down(fire)
        return fire

    def add_photo(self) -> None:
        number = len(list(self.photos.iterdir()))
        (self.photos / f"photo {number}.png").write_bytes(png(picture(number)))

    def turn(self) -> None:
        """Until nothing is under way."""
        self.runner.turn()
        eventually(lambda: not self.runner.busy, what="the end of what was begun")

    def result(self, at: datetime) -> FireResult:
        (found,) = [one for one in self.book.state(self.name).results if one.fired_at == at]
        return found

    def batches(self) -> list[str]:
        return self.client.connection.ledger.batches()


@pytest.fixture
def nights(
    client: Client, entries: Entries, book: Book, make_spec: Callable[..., ScheduleSpec], photos: Path
) -> Callable[..., Nights]:
    return lambda **fields: Nights(client, entries, book, make_spec(**fields), photos)


def test_a_fire_that_is_done_twice_is_one_batch(nights: Callable[..., Nights]) -> None:
    """As when a beat dies after it submitted and before it crossed the fire out."""
    one = nights()
    one.fire(LAST_NIGHT)
    one.turn()
    one.add_photo()
    one.fire(LAST_NIGHT, attempts=1)
    one.turn()

    (batch,) = one.batches()
    assert {result.batch for result in one.book.state(one.name).results} == {batch}
    assert one.book.state(one.name).open_batches == (batch,)
    assert one.book.fires() == []


def test_skip_does_nothing_while_last_nights_batch_is_not_over(nights: Callable[..., Nights]) -> None:
    one = nights(overlap="skip")
    one.fire(LAST_NIGHT)
    one.turn()
    (batch,) = one.batches()
    one.add_photo()
    one.fire(THIS_NIGHT)
    one.turn()

    assert one.batches() == [batch]
    assert one.result(THIS_NIGHT).outcome == "skipped"
    assert batch in one.result(THIS_NIGHT).message
    told = json.loads(one.client.connection.store.get(layout.latest_night_key(one.name)))
    assert (told["outcome"], told["message"]) == ("skipped", one.result(THIS_NIGHT).message)

    one.client.cancel(batch)
    one.fire(THIS_NIGHT + timedelta(days=1))
    one.turn()
    assert len(one.batches()) == 2


def test_queue_waits_until_last_nights_batch_is_over_and_only_one_waits(
    nights: Callable[..., Nights],
) -> None:
    one = nights(overlap="queue")
    one.fire(LAST_NIGHT)
    one.turn()
    (batch,) = one.batches()
    one.add_photo()
    one.fire(THIS_NIGHT)
    one.fire(THIS_NIGHT + timedelta(days=1))
    one.turn()

    (waiting,) = one.book.fires()
    assert waiting.fired_at == THIS_NIGHT
    assert batch in waiting.note
    assert one.result(THIS_NIGHT + timedelta(days=1)).outcome == "skipped"

    one.client.cancel(batch)
    one.turn()
    assert one.result(THIS_NIGHT).outcome == "submitted"
    assert one.book.fires() == []


def test_allow_runs_beside_last_nights_batch(nights: Callable[..., Nights]) -> None:
    one = nights(overlap="allow")
    for night in (LAST_NIGHT, THIS_NIGHT):
        one.fire(night)
        one.turn()
        one.add_photo()

    assert set(one.book.state(one.name).open_batches) == set(one.batches())
    assert len(one.batches()) == 2


@pytest.mark.parametrize(
    ("if_missed", "late", "by", "outcome"),
    [
        ("run", timedelta(hours=9), "clock", "submitted"),
        ("skip", timedelta(hours=9), "clock", "missed"),
        ("skip", timedelta(seconds=90), "clock", "submitted"),
        ("skip", timedelta(hours=9), "person", "submitted"),
    ],
)
def test_what_was_missed_is_done_late_unless_told_otherwise(
    nights: Callable[..., Nights], if_missed: str, late: timedelta, by: str, outcome: str
) -> None:
    one = nights(if_missed=if_missed)
    one.fire(LAST_NIGHT, late=late, by=by)
    one.turn()

    assert one.result(LAST_NIGHT).outcome == outcome
    assert len(one.batches()) == (outcome == "submitted")


def test_a_week_without_a_beat_is_one_late_fire(
    entries: Entries, make_spec: Callable[..., ScheduleSpec]
) -> None:
    entries.add(make_spec(), last_run_at=LAST_NIGHT)
    entry = entries.get("holidays")

    fire = by_clock(entry, LAST_NIGHT + timedelta(days=7, hours=3))
    assert fire is not None
    assert fire.fired_at == LAST_NIGHT + timedelta(days=7)
    assert entries.fired(entry, fire)

    after = entries.get("holidays")
    assert by_clock(after, LAST_NIGHT + timedelta(days=7, hours=4)) is None
    assert after.due_at == LAST_NIGHT + timedelta(days=8)


def test_a_night_that_cannot_be_says_why_and_the_next_one_comes(
    nights: Callable[..., Nights], photos: Path
) -> None:
    one = nights()
    painting = photos.parent / "painting.png"
    whole = painting.read_bytes()
    painting.write_bytes(b"no picture")
    one.fire(LAST_NIGHT)
    one.turn()

    assert one.result(LAST_NIGHT).outcome == "failed"
    assert one.book.fires() == []

    painting.write_bytes(whole)
    one.fire(THIS_NIGHT)
    one.turn()
    assert one.result(THIS_NIGHT).outcome == "submitted"


def test_a_fire_that_ends_its_beat_each_time_is_given_up(nights: Callable[..., Nights]) -> None:
    one = nights()
    one.fire(LAST_NIGHT, attempts=3)
    one.turn()

    assert one.result(LAST_NIGHT).outcome == "failed"
    assert one.batches() == []


def test_a_fire_of_a_schedule_that_is_gone_or_paused_makes_nothing(nights: Callable[..., Nights]) -> None:
    one = nights(paused=True)
    one.fire(LAST_NIGHT)
    one.turn()
    assert one.result(LAST_NIGHT).outcome == "skipped"

    one.client.schedules.remove(one.name)
    one.fire(THIS_NIGHT)
    one.turn()
    assert one.batches() == []
    assert one.book.fires() == []


def test_what_ends_after_its_schedule_was_removed_is_no_result_of_the_next_of_that_name(
    nights: Callable[..., Nights], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = nights()

    def removed_meanwhile(*arguments: Any, **more: Any) -> NightOutcome:
        outcome = run_night(*arguments, **more)
        one.client.schedules.remove(one.name)
        return outcome

    monkeypatch.setattr(running, "run_night", removed_meanwhile)
    one.fire(LAST_NIGHT)
    one.turn()
    assert len(one.batches()) == 1
    assert one.book.state(one.name).results == ()
    assert one.book.fires() == []


def test_a_batch_of_a_fire_outside_the_hours_waits_for_them(nights: Callable[..., Nights]) -> None:
    now = datetime.now(UTC)
    closed = f"{now + timedelta(hours=5):%H:%M}-{now + timedelta(hours=6):%H:%M}"
    one = nights(window=closed)
    one.fire(LAST_NIGHT)
    one.turn()

    (batch,) = one.batches()
    assert one.client.status(batch).state is BatchState.PAUSED
    assert one.client.status(batch).due == 0
    assert one.book.is_outside(batch)


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_batch_whose_beat_died_gets_its_hours_though_the_schedule_was_paused_or_the_fire_given_up(
    nights: Callable[..., Nights], deaths: int
) -> None:
    now = datetime.now(UTC)
    one = nights(window=f"{now + timedelta(hours=5):%H:%M}-{now + timedelta(hours=6):%H:%M}")
    one.fire(LAST_NIGHT, attempts=deaths)
    run_night(one.client, one.client.schedules.get(one.name).spec, fired_at=LAST_NIGHT)
    one.client.schedules.pause(one.name)
    one.turn()

    (batch,) = one.batches()
    assert (one.result(LAST_NIGHT).outcome, one.result(LAST_NIGHT).batch) == ("submitted", batch)
    assert one.client.status(batch).state is BatchState.PAUSED


def test_outputs_are_named_by_folders_also_of_what_is_known_from_earlier_nights(
    nights: Callable[..., Nights], photos: Path
) -> None:
    (photos / "rome").mkdir()
    (photos / "photo 0.png").rename(photos / "rome" / "photo 0.png")
    paintings = photos.parent / "paintings"
    paintings.mkdir()
    (paintings / "first.png").write_bytes(png(picture(50)))
    one = nights(styles=(str(paintings),), output_names="{path}/{style}/{content}")
    one.fire(LAST_NIGHT)
    one.turn()
    one.client.cancel("latest")
    (paintings / "second.png").write_bytes(png(picture(51)))
    one.fire(THIS_NIGHT)
    one.turn()

    jobs = [one.client.pair("latest", pair) for pair in range(2)]
    assert {job.output_stem for job in jobs} == {"rome/first/photo_0", "rome/second/photo_0"}
