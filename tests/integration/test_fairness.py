"""Who goes first: batches of equal priority advance together, a more urgent one goes before all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from impasto.shared.ledger import EventType
from servers import RedisServer
from stage import Stage, folder_stage, picture, png
from workers import eventually

WORKERS = 3
PAIR_SECONDS = 0.04


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


@contextmanager
def workers(stage: Stage, folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(stage.noop_worker(folder / f"{i}.log", seconds=PAIR_SECONDS, steps=4))
            for i in range(WORKERS)
        ]
        for worker in started:
            worker.ready()
        yield


def submit(stage: Stage, contents: int, styles: int = 10, *, priority: int = 5) -> str:
    return stage.submit(
        [png(picture(i, (8, 8))) for i in range(contents)],
        [png(picture(1000 + i, (8, 8))) for i in range(styles)],
        priority=priority,
    )


def times_ms(stage: Stage, batch: str, kind: EventType) -> list[int]:
    return [event.at_ms for event in stage.ledger.events(batch) if event.type is kind]


def test_batches_of_equal_priority_advance_together_whatever_their_sizes_and_when_they_came(
    stage: Stage, tmp_path: Path
) -> None:
    large = submit(stage, 60)
    with workers(stage, tmp_path):
        eventually(lambda: stage.ledger.status(large).done >= 40, what="the large batch alone")
        batches = [large, submit(stage, 12), submit(stage, 18)]
        eventually(lambda: any(stage.is_over(batch) for batch in batches), what="the end of the smallest")
    done = {batch: times_ms(stage, batch, EventType.PAIR_DONE) for batch in batches}
    began = max(min(done[batch]) for batch in batches)
    ended = min(max(done[batch]) for batch in batches)
    shares = [sum(began <= at_ms <= ended for at_ms in done[batch]) for batch in batches]
    assert min(shares) > 50, shares
    assert max(shares) <= 1.2 * min(shares), shares


@pytest.mark.parametrize("priority", [0, 4])
def test_a_more_urgent_batch_goes_before_what_waits(stage: Stage, tmp_path: Path, priority: int) -> None:
    patient = submit(stage, 60)
    with workers(stage, tmp_path):
        eventually(lambda: stage.ledger.status(patient).done >= 30, what="the patient batch alone")
        urgent = submit(stage, 10, priority=priority)
        eventually(lambda: stage.is_over(urgent), what="the urgent batch")
    leased = times_ms(stage, urgent, EventType.PAIR_LEASED)
    between = [
        at_ms for at_ms in times_ms(stage, patient, EventType.PAIR_LEASED) if leased[0] <= at_ms <= leased[-1]
    ]
    # A worker may have been taking a pair of the other batch at the first moment or at the last.
    assert len(leased) == 100
    assert len(between) <= 2 * WORKERS, len(between)
    (opened,) = times_ms(stage, urgent, EventType.BATCH_OPENED)
    before = [
        at_ms for at_ms in times_ms(stage, patient, EventType.PAIR_LEASED) if opened <= at_ms <= leased[0]
    ]
    # "Within a pair's time": each worker ends what it has, and takes of the urgent batch then.
    assert len(before) <= 2 * WORKERS, len(before)
