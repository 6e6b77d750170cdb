"""Told to stop while a server is away: what nobody else knows of stays on the queue."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.shared.celery_app import queue_keys
from impasto.shared.jobs import TASK_NAME
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


def test_a_worker_that_still_waits_for_its_server_ends_cleanly(namespace: str, tmp_path: Path) -> None:
    stage = folder_stage(f"redis://127.0.0.1:{free_port()}/0", namespace, tmp_path)
    with stage.worker(tmp_path / "worker.log") as worker:
        eventually(lambda: worker.has("worker.waiting_for_redis"), what="the waiting")
        worker.send(signal.SIGTERM)
        assert worker.wait(20) == 0
    stage.close()
