"""Told to stop while something else is waited for: nothing is lost, and no pair is charged with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.shared.celery_app import queue_keys
from impasto.shared.jobs import TASK_NAME
from impasto.shared.ledger import EventType
from noop_worker import DEVICE, STUCK
from servers import RedisServer, free_port, valkey_binary
from stage import QUICK, SLOW, Stage, folder_stage, picture, png
from workers import eventually


@pytest.fixture
def stage(namespace: str, tmp_path: Path) -> Iterator[Stage]:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        yield stage
        stage.close()


def test_a_job_without_a_batch_outlives_a_worker_that_stops_before_it_is_on_the_ledger(
    stage: Stage, tmp_path: Path
) -> None:
    content = stage.upload(png(picture(1)), "a.png", "a")
    style = stage.upload(png(picture(2)), "b.png", "b")
    job = {"content": content.uri, "style": style.uri, "settings": QUICK.model_dump(mode="json")}
    with stage.worker(tmp_path / "first.log") as worker:
        worker.ready()
        # The broker works, the ledger does not: its scripts are refused.
        stage.client.execute_command("ACL", "SETUSER", "default", "-@scripting")
        stage.app.send_task(TASK_NAME, args=[job], queue=stage.deployment.queue)
        eventually(lambda: worker.has("ledger.waiting"), what="the job in the worker's hands")
        worker.send(signal.SIGTERM)
        assert worker.wait(20) == 0
    assert sum(stage.client.llen(key) for key in queue_keys(stage.deployment)) == 1


def test_a_pair_is_handed_back_though_its_batch_is_gone_from_the_store(stage: Stage, tmp_path: Path) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))], SLOW)
    stage.store.delete(f"batches/{batch}/batch.json")
    with stage.worker(tmp_path / "worker.log") as worker:
        worker.ready()
        eventually(lambda: any(r.progress for r in stage.ledger.running(batch)), what="a running pair")
        worker.send(signal.SIGTERM)
        assert worker.wait(20) == 0
        assert worker.has("pair.handed_back")
        assert "Traceback" not in worker.log.read_text()
    status = stage.ledger.status(batch)
    assert (status.due, status.running) == (1, 0)


def test_a_step_that_outlasts_every_patience_is_handed_back_and_nobody_is_charged_with_the_stop(
    stage: Stage, tmp_path: Path
) -> None:
    content = picture(1)
    content.putpixel((0, 0), STUCK)
    batch = stage.submit([png(content)], [png(picture(2))])
    never = {DEVICE: "hangs", "NOOP_LATE_SECONDS": "0.5"}
    with stage.noop_worker(tmp_path / "worker.log", seconds=0.4, steps=4, **never) as worker:
        worker.ready()
        eventually(
            lambda: any(pair.progress.get("step") == 1 for pair in stage.ledger.running(batch)),
            what="a pair in its second step",
        )
        worker.send(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert worker.has("worker.overdue")
    status = stage.ledger.status(batch)
    assert (status.due, status.running) == (1, 0)
    with stage.noop_worker(tmp_path / "next.log") as worker:
        # A message of it is on the queue again.
        eventually(lambda: stage.is_over(batch), what="the batch")
    events = stage.ledger.events(batch)
    assert [event.data["attempt"] for event in events if event.type is EventType.PAIR_LEASED] == [1, 1]
    assert EventType.PAIR_EXPIRED not in {event.type for event in events}


def test_a_worker_that_still_waits_for_its_server_ends_cleanly(namespace: str, tmp_path: Path) -> None:
    stage = folder_stage(f"redis://127.0.0.1:{free_port()}/0", namespace, tmp_path)
    with stage.worker(tmp_path / "worker.log") as worker:
        eventually(lambda: worker.has("worker.waiting_for_redis"), what="the waiting")
        worker.send(signal.SIGTERM)
        assert worker.wait(20) == 0
    stage.close()
