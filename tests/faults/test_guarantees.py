"""The promises to people who go to bed while it runs, on real processes that are really killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from audit import audit
from faulty_proxy import Fault, FaultyProxy
from impasto.shared import layout
from impasto.shared.celery_app import queue_keys
from impasto.shared.ledger import BatchState, EventType
from impasto.shared.settings import StyleSettings
from s3_server import S3Server
from servers import RedisServer, valkey_binary
from stage import QUICK, SLOW, Stage, folder_stage, picture, png, s3_stage
from workers import eventually

MINUTE = QUICK.model_copy(update={"size_px": 64, "steps": 250})
"""A few seconds: long enough to be struck, short enough to be made twice."""


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


def submit(stage: Stage, count: int, settings: StyleSettings = QUICK) -> str:
    return stage.submit([png(picture(i)) for i in range(count)], [png(picture(99))], settings)


def start_running(stage: Stage, batch: str) -> int:
    """Wait until a pair of the batch is a few steps in, in the hands of a worker that lives; which."""

    def found() -> list[int]:
        # The lease of a worker that was killed stays, with its progress, until a sweep comes by.
        now_ms = time.time() * 1000
        running = stage.ledger.running(batch)
        return [r.pair for r in running if r.progress.get("step", 0) > 3 and r.lease_expires_ms > now_ms]

    eventually(lambda: bool(found()), what="a running pair")
    return stage.ledger.running(batch)[0].pair


def test_a_pair_whose_worker_is_killed_is_made_elsewhere(stage: Stage, tmp_path: Path) -> None:
    batch = submit(stage, 3, MINUTE)
    with (
        stage.worker(tmp_path / "first.log") as first,
        stage.worker(tmp_path / "second.log") as second,
    ):
        first.ready()
        second.ready()
        eventually(lambda: stage.ledger.status(batch).running == 2, what="two running pairs")
        first.kill()
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert second.alive
    assert stage.ledger.status(batch).state is BatchState.DONE
    audit(stage, batch)


def test_a_server_that_is_killed_and_comes_back_from_its_file_loses_nothing(
    namespace: str, tmp_path: Path
) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey", {"appendfsync": "always"}) as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        batch = submit(stage, 4, MINUTE)
        with stage.worker(tmp_path / "worker.log") as worker:
            worker.ready()
            start_running(stage, batch)
            server.kill()
            time.sleep(1.5)
            server.start()
            eventually(lambda: stage.is_over(batch), seconds=90, what="the batch")
            assert worker.alive
        assert stage.ledger.status(batch).state is BatchState.DONE
        audit(stage, batch)
        stage.close()


def test_a_server_that_is_away_for_longer_than_a_lease_takes_no_pair_from_a_living_worker(
    namespace: str, tmp_path: Path
) -> None:
    kept = {"appendfsync": "always"}
    # Three turns of the sweep must be longer than a heart's way back to the server on a busy machine.
    rare_sweeps = {"IMPASTO_SWEEP_SECONDS": "2"}
    with RedisServer(valkey_binary(), tmp_path / "valkey", kept) as server, ExitStack() as workers:
        stage = folder_stage(server.url, namespace, tmp_path)
        batch = submit(stage, 2)
        for name in ("first", "second"):
            worker = stage.noop_worker(tmp_path / f"{name}.log", seconds=10, steps=50, **rare_sweeps)
            workers.enter_context(worker).ready()
        eventually(lambda: stage.ledger.status(batch).running == 2, what="a pair in the hands of each")
        server.kill()
        time.sleep(7)
        server.start()
        eventually(lambda: stage.is_over(batch), what="the batch")
        told = [event.type for event in stage.ledger.events(batch)]
        assert EventType.PAIR_EXPIRED not in told
        assert told.count(EventType.PAIR_LEASED) == 2
        audit(stage, batch)
        stage.close()


def test_a_message_that_the_broker_lost_is_sent_again(stage: Stage, tmp_path: Path) -> None:
    batch = submit(stage, 3)
    for key in queue_keys(stage.deployment):
        stage.client.delete(key)
    with stage.worker(tmp_path / "worker.log") as worker:
        worker.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
    audit(stage, batch)


def test_a_message_that_comes_ten_times_makes_one_picture_and_one_count(stage: Stage, tmp_path: Path) -> None:
    batch = submit(stage, 2)
    stage.dispatcher.publish([(batch, pair) for pair in (0, 1)] * 9)
    with stage.worker(tmp_path / "a.log") as a, stage.worker(tmp_path / "b.log") as b:
        a.ready()
        b.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
        eventually(stage.dispatcher.broker_is_empty, what="an empty queue")
        done = [event for worker in (a, b) for event in worker.events("pair.done")]
    assert len(done) == 2
    assert stage.ledger.status(batch).done == 2
    audit(stage, batch)


def test_a_pair_that_kills_its_worker_three_times_fails_and_the_rest_is_done(
    stage: Stage, tmp_path: Path
) -> None:
    poison = stage.submit([png(picture(1))], [png(picture(2))], SLOW)
    for death in range(3):
        with stage.worker(tmp_path / f"{death}.log") as worker:
            worker.ready()
            start_running(stage, poison)
    rest = submit(stage, 2)
    with stage.worker(tmp_path / "last.log") as worker:
        worker.ready()
        eventually(lambda: stage.is_over(poison) and stage.is_over(rest), what="both batches")
    (failure,) = stage.ledger.failures(poison)
    assert failure.attempts == 3
    assert stage.ledger.status(rest).state is BatchState.DONE
    audit(stage, poison)


def test_a_worker_told_to_stop_hands_its_pair_back_without_counting_the_attempt(
    stage: Stage, tmp_path: Path
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))], SLOW)
    with stage.worker(tmp_path / "worker.log") as worker:
        worker.ready()
        start_running(stage, batch)
        worker.send(signal.SIGTERM)
        assert worker.wait(20) == 0
    status = stage.ledger.status(batch)
    assert (status.due, status.running) == (1, 0)
    assert not stage.dispatcher.broker_is_empty()
    assert stage.ledger.workers() == []


def test_a_pair_handed_back_goes_on_where_it_stopped_and_ends_as_if_it_never_had(
    stage: Stage, tmp_path: Path
) -> None:
    settings = SLOW.model_copy(update={"steps": 1000})
    inputs = [png(picture(1))], [png(picture(2))]
    batch = stage.submit(*inputs, settings)
    with stage.worker(tmp_path / "first.log", IMPASTO_GRACE_SECONDS="0.1") as first:
        first.ready()
        start_running(stage, batch)
        first.send(signal.SIGTERM)
        assert first.wait(30) == 0
        (kept,) = first.events("checkpoint.kept")
    assert kept["step"] > 3
    checkpoints = f"{layout.BATCHES}{batch}/checkpoints/"
    assert len(list(stage.store.list(checkpoints))) == 1
    with stage.worker(tmp_path / "second.log") as second:
        second.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
        (resumed,) = second.events("checkpoint.taken")
        uninterrupted = stage.submit(*inputs, settings)
        eventually(lambda: stage.is_over(uninterrupted), what="the same pair in one go")
        assert len(second.events("checkpoint.taken")) == 1
    assert resumed["step"] == kept["step"]
    assert list(stage.store.list(checkpoints)) == []
    assert picture_bytes(stage, batch) == picture_bytes(stage, uninterrupted)
    audit(stage, batch)


def picture_bytes(stage: Stage, batch: str) -> bytes:
    stem = stage.files.job(batch, 0).output_stem
    return stage.store.get(layout.picture_key(batch, stem, "png"))


def test_a_worker_told_to_stop_finishes_what_fits_the_grace_period(stage: Stage, tmp_path: Path) -> None:
    batch = submit(stage, 2, MINUTE)
    with stage.worker(tmp_path / "worker.log", IMPASTO_GRACE_SECONDS="120") as worker:
        worker.ready()
        start_running(stage, batch)
        worker.send(signal.SIGTERM)
        assert worker.wait(90) == 0
        assert len(worker.events("pair.done")) == 1
    status = stage.ledger.status(batch)
    assert (status.done, status.due, status.running) == (1, 1, 0)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_no_signal_makes_a_pair_fail_however_often_it_comes(
    stage: Stage, tmp_path: Path, number: signal.Signals
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))], SLOW)
    with stage.worker(tmp_path / "worker.log", IMPASTO_GRACE_SECONDS="60") as worker:
        worker.ready()
        start_running(stage, batch)
        for _ in range(3):
            worker.send(number)
            time.sleep(0.1)
        assert worker.wait(20) == 0
    status = stage.ledger.status(batch)
    assert (status.due, status.failed) == (1, 0)


def test_a_store_that_refuses_for_a_while_costs_time_and_no_pair(stage: Stage, tmp_path: Path) -> None:
    batch = submit(stage, 2, MINUTE)
    outputs = tmp_path / "store" / "outputs"
    with stage.worker(tmp_path / "worker.log", IMPASTO_MAX_ATTEMPTS="50") as worker:
        worker.ready()
        start_running(stage, batch)
        # A file where the folder should be: every put fails, as it does on a share that was unmounted.
        outputs.write_bytes(b"")
        eventually(lambda: worker.has("pair.postponed") or worker.has("pair.failed"), what="a refused put")
        outputs.unlink()
        eventually(lambda: stage.is_over(batch), what="the batch")
    assert stage.ledger.status(batch).state is BatchState.DONE
    audit(stage, batch)


def test_a_result_waits_in_place_for_a_store_that_does_not_answer(
    valkey: RedisServer, s3_server: S3Server, namespace: str, tmp_path: Path
) -> None:
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        stage = s3_stage(valkey.url, namespace, s3_server, proxy.endpoint_url)
        batch = submit(stage, 2, MINUTE)
        with stage.worker(tmp_path / "worker.log") as worker:
            worker.ready()
            start_running(stage, batch)
            with proxy.suffering(Fault.RESET):
                eventually(lambda: worker.has("store.waiting"), seconds=150, what="a put without an answer")
            eventually(lambda: stage.is_over(batch), seconds=120, what="the batch")
            assert len(worker.events("pair.started")) == 2
        assert stage.ledger.status(batch).state is BatchState.DONE
        audit(stage, batch)
        stage.close()
