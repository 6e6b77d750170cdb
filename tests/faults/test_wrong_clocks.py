"""Workers whose clocks are wrong: the ledger goes by its server's, waits by clocks that nobody sets.

The engine is a stand-in that gives the content back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import audit
from impasto.shared import layout
from impasto.shared.ledger import BatchState, EventType
from impasto.shared.metadata import OutputMetadata
from impasto.shared.reports import Report
from noop_worker import FLAKY
from servers import RedisServer
from shifted_clock import CLOCK_AHEAD
from stage import Stage, folder_stage, picture, png
from workers import NOOP_WORKER, WorkerProcess, eventually

DAY_SECONDS = 24 * 3600.0
HOUR_MS = 3600 * 1000
SHIFTED = (str(Path(__file__).parents[1] / "shifted_clock.py"), *NOOP_WORKER)


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


def shifted_worker(stage: Stage, clock: Path, seconds_ahead: float, **extra: str) -> WorkerProcess:
    """A worker whose clock is that much ahead, or what `clock` says later."""
    clock.write_text(str(seconds_ahead))
    extra = {CLOCK_AHEAD: str(clock), "NOOP_STEPS": "10", **extra}
    return WorkerProcess(stage.environment, clock.with_suffix(".log"), extra, SHIFTED)


def server_ms(stage: Stage) -> int:
    seconds, microseconds = stage.client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def test_workers_that_are_days_apart_share_a_batch_as_if_they_were_not(stage: Stage, tmp_path: Path) -> None:
    flaky = picture(7)
    flaky.putpixel((0, 0), FLAKY)
    contents = [picture(0), flaky, *(picture(i) for i in range(8, 22))]
    began_ms = server_ms(stage)
    batch = stage.submit([png(content) for content in contents], [png(picture(99))])
    pace = {"NOOP_SECONDS": "0.4"}
    with (
        shifted_worker(stage, tmp_path / "ahead", DAY_SECONDS, **pace) as ahead,
        shifted_worker(stage, tmp_path / "behind", -DAY_SECONDS, **pace) as behind,
        shifted_worker(stage, tmp_path / "right", 0.0, **pace) as right,
    ):
        for worker in (ahead, behind, right):
            worker.ready()
            eventually(lambda worker=worker: worker.has("pair.started"), what="a pair each")  # type: ignore[misc]
        # Whoever lives renews: had its clock a say, a lease would have run out at once or not for a day.
        leases = [running.lease_expires_ms for running in stage.ledger.running(batch)]
        assert all(expires_ms < server_ms(stage) + HOUR_MS for expires_ms in leases)
        ahead.kill()
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert behind.alive
        assert right.alive
        times = {worker.events()[0]["at"][:10] for worker in (ahead, behind, right)}
    assert len(times) == 3, "the clocks were not shifted"
    events = stage.ledger.events(batch)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert began_ms <= events[0].at_ms
    assert events[-1].at_ms <= server_ms(stage)
    expired = {event.pair for event in events if event.type is EventType.PAIR_EXPIRED}
    assert 1 <= len(expired) <= 3
    (failure,) = stage.ledger.failures(batch)
    assert (failure.pair, failure.attempts) == (1, 2)
    assert began_ms <= failure.failed_ms <= server_ms(stage)
    status = stage.ledger.status(batch)
    assert (status.done, status.failed) == (15, 1)
    assert status.busy_seconds < 3600
    audit(stage, batch)


def test_a_clock_that_is_set_while_a_pair_runs_disturbs_neither_it_nor_its_times(
    stage: Stage, tmp_path: Path
) -> None:
    batch = stage.submit([png(picture(1)), png(picture(2))], [png(picture(99))])
    clock = tmp_path / "jumping"
    with shifted_worker(stage, clock, 0.0, NOOP_SECONDS="2.5") as worker:
        worker.ready()
        for seconds in (DAY_SECONDS, -DAY_SECONDS):
            eventually(lambda: any(r.progress for r in stage.ledger.running(batch)), what="a pair under way")
            clock.write_text(str(seconds))
            beats = stage.ledger.workers()[0].seen_ms
            eventually(lambda beats=beats: stage.ledger.workers()[0].seen_ms > beats + 1000, what="its beats")  # type: ignore[misc]
        eventually(lambda: stage.is_over(batch), what="the batch")
        eventually(lambda: stage.store.head(layout.report_key(batch, "json")) is not None, what="the report")
        assert worker.alive
    events = stage.ledger.events(batch)
    assert [event.type for event in events if event.pair == 0] == [EventType.PAIR_LEASED, EventType.PAIR_DONE]
    assert stage.ledger.status(batch).state is BatchState.DONE
    report = Report.model_validate_json(stage.store.get(layout.report_key(batch, "json")))
    for pair in report.pairs:
        assert pair.seconds is not None
        assert pair.metadata_key is not None
        assert 0 < pair.seconds < 3600
        metadata = OutputMetadata.model_validate_json(stage.store.get(pair.metadata_key))
        assert metadata.started_at <= metadata.finished_at
    audit(stage, batch)
