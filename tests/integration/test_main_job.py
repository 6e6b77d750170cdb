"""The whole way on real parts: queue, worker process, engine with the real weights, store."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from PIL import Image

from impasto.shared import layout
from impasto.shared.celery_app import queue_keys
from impasto.shared.jobs import TASK_NAME, fingerprint
from impasto.shared.ledger import BatchState, Control
from impasto.shared.ledger.keys import Keys
from impasto.shared.metadata import OutputMetadata
from impasto.shared.pictures import read_embedded
from impasto.shared.reports import Report
from impasto.shared.settings import StyleSettings
from s3_server import S3Server
from servers import RedisServer
from stage import QUICK, SLOW, Stage, folder_stage, picture, png
from workers import WorkerProcess, eventually


@pytest.fixture(scope="module")
def stage(valkey: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, "main-job", tmp_path_factory.mktemp("main-job"))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def worker(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with stage.worker(tmp_path_factory.mktemp("worker") / "worker.log") as worker:
        yield worker.ready()


def metadata_of(stage: Stage, batch: str, pair: int) -> OutputMetadata:
    stem = stage.files.job(batch, pair).output_stem
    return OutputMetadata.model_validate_json(stage.store.get(layout.metadata_key(batch, stem)))


def test_every_pair_of_a_batch_becomes_a_picture_with_metadata_and_a_report(
    stage: Stage, worker: WorkerProcess
) -> None:
    contents, styles = [png(picture(i)) for i in range(2)], [png(picture(10 + i)) for i in range(2)]
    batch = stage.submit(contents, styles)
    eventually(lambda: stage.is_over(batch), what="the batch")
    status = stage.ledger.status(batch)
    assert status.state is BatchState.DONE
    assert status.done == 4
    for pair in range(4):
        metadata = metadata_of(stage, batch, pair)
        job = stage.files.job(batch, pair)
        data = stage.store.get(metadata.picture_key)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.size == (metadata.width_px, metadata.height_px) == (32, 27)
        expected = fingerprint(str(job.content.sha256), str(job.style.sha256), QUICK)
        assert metadata.fingerprint == expected
        assert read_embedded(data)["fingerprint"] == expected
        assert metadata.steps == QUICK.steps
        assert metadata.losses.last.total <= metadata.losses.first.total
        assert metadata.worker in {info.worker for info in stage.ledger.workers()}
    eventually(lambda: stage.store.head(layout.report_key(batch, "json")) is not None, what="the report")
    report = Report.model_validate_json(stage.store.get(layout.report_key(batch, "json")))
    assert [pair.state for pair in report.pairs] == ["done"] * 4
    assert stage.store.get(layout.report_key(batch, "csv")).count(b"\n") == 5


def test_a_finished_batch_leaves_nothing_on_the_queue(stage: Stage, worker: WorkerProcess) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    eventually(lambda: stage.is_over(batch), what="the batch")
    unacked = f"{stage.deployment.namespace}.unacked"
    keys = [*queue_keys(stage.deployment), unacked]
    eventually(lambda: not any(stage.client.exists(key) for key in keys), what="an empty queue")
    assert stage.ledger.running(batch) == []


def test_the_same_pair_gives_the_same_bytes(stage: Stage, worker: WorkerProcess) -> None:
    content, style = png(picture(3)), png(picture(4))
    first, second = stage.submit([content], [style]), stage.submit([content], [style])
    eventually(lambda: stage.is_over(first) and stage.is_over(second), what="both batches")
    keys = [metadata_of(stage, batch, 0).picture_key for batch in (first, second)]
    assert stage.store.get(keys[0]) == stage.store.get(keys[1])


def test_a_bad_picture_fails_alone_with_its_reason(stage: Stage, worker: WorkerProcess) -> None:
    good = png(picture(5))
    batch = stage.submit([good, good[: len(good) // 2], b""], [png(picture(6))])
    eventually(lambda: stage.is_over(batch), what="the batch")
    status = stage.ledger.status(batch)
    assert (status.done, status.failed, status.state) == (1, 2, BatchState.FAILED)
    failures = {failure.pair: failure for failure in stage.ledger.failures(batch)}
    assert set(failures) == {1, 2}
    assert all(failure.kind == "bad_picture" for failure in failures.values())
    assert all(f"content{pair}.png" in failure.message for pair, failure in failures.items())


def test_an_input_that_vanished_fails_its_pairs_and_no_others(stage: Stage, worker: WorkerProcess) -> None:
    contents = [png(picture(seed)) for seed in (700, 701)]
    batch = stage.submit(contents, [png(picture(9))], paused=True)
    stage.store.delete(stage.files.content(batch, 1).uri.removeprefix("store:"))
    stage.ledger.control(batch, Control.RESUME)
    eventually(lambda: stage.is_over(batch), what="the batch")
    (failure,) = stage.ledger.failures(batch)
    assert failure.pair == 1
    assert "content1.png" in failure.message


def test_a_batch_whose_files_vanished_fails_pair_by_pair(stage: Stage, worker: WorkerProcess) -> None:
    batch = stage.submit([png(picture(i)) for i in range(6)], [png(picture(9))], paused=True)
    for info in list(stage.store.list(f"batches/{batch}/")):
        stage.store.delete(info.key)
    stage.ledger.control(batch, Control.RESUME)
    eventually(lambda: stage.is_over(batch), what="the batch")
    assert stage.ledger.status(batch).failed == 6
    assert {f.kind for f in stage.ledger.failures(batch)} == {"object_missing"}
    # Nothing is left to report on, and nobody is asked to for ever.
    unreported = Keys(stage.deployment.namespace).shared("unreported")
    eventually(lambda: stage.client.zscore(unreported, batch) is None, what="the end of the asking")


def test_a_foreign_celery_application_gets_its_picture_without_a_batch(
    stage: Stage, worker: WorkerProcess
) -> None:
    content = stage.upload(png(picture(20)), "a.png", "a")
    style = stage.upload(png(picture(21)), "b.png", "b")
    job = {
        "content": content.uri,
        "style": style.uri,
        "settings": {"preset": "gallery", "size_px": 32, "steps": 2, "coarsest_px": None, "coarse_steps": 0},
    }
    foreign = Celery(broker=stage.deployment.redis_url, set_as_current=False)
    before = set(stage.ledger.batches())
    for _ in range(2):
        foreign.send_task(TASK_NAME, args=[job], queue=stage.deployment.queue)
    eventually(lambda: len(set(stage.ledger.batches()) - before) == 1, what="the adopted batch")
    (batch,) = set(stage.ledger.batches()) - before
    eventually(lambda: stage.is_over(batch), what="the pair")
    metadata = metadata_of(stage, batch, 0)
    assert stage.store.head(metadata.picture_key) is not None
    assert metadata.settings == StyleSettings.preset(
        "gallery", size_px=32, steps=2, coarsest_px=None, coarse_steps=0
    )
    foreign.close()


def test_messages_that_are_no_jobs_are_kept_and_hurt_nobody(stage: Stage, worker: WorkerProcess) -> None:
    foreign = Celery(broker=stage.deployment.redis_url, set_as_current=False)
    before = len(stage.ledger.dead_letters())
    foreign.send_task(TASK_NAME, args=[{"content": "only"}], queue=stage.deployment.queue)
    foreign.send_task(TASK_NAME, args=[1, 2, 3], queue=stage.deployment.queue)
    foreign.send_task("somebody.elses_task", args=[], queue=stage.deployment.queue)
    with (
        foreign.connection_for_write() as connection,
        connection.SimpleQueue(stage.deployment.queue) as queue,
    ):
        queue.put(
            b"\xff\xfe not json", serializer=None, content_type="application/json", content_encoding="binary"
        )
        queue.put({"hello": "world"})
        queue.put(
            b"cos\nsystem\n(S'true'\ntR.",
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )
    eventually(lambda: len(stage.ledger.dead_letters()) >= before + 6, what="six dead letters")
    assert worker.alive
    batch = stage.submit([png(picture(30))], [png(picture(31))])
    eventually(lambda: stage.is_over(batch), what="a batch after the rubbish")
    reasons = " ".join(letter.reason for letter in stage.ledger.dead_letters())
    assert "style" in reasons
    assert "somebody.elses_task" in reasons
    foreign.close()


def test_cancelling_stops_a_running_pair_and_keeps_what_is_done(stage: Stage, worker: WorkerProcess) -> None:
    batch = stage.submit([png(picture(i)) for i in (40, 41)], [png(picture(42))], SLOW)
    eventually(lambda: stage.ledger.status(batch).running == 1, what="a running pair")
    eventually(lambda: any(r.progress for r in stage.ledger.running(batch)), what="its progress")
    stage.ledger.control(batch, Control.CANCEL)
    eventually(lambda: stage.is_over(batch), seconds=10, what="the end")
    status = stage.ledger.status(batch)
    assert (status.cancelled, status.state) == (2, BatchState.CANCELLED)
    assert list(stage.store.list(layout.outputs_prefix(batch))) == []


def test_a_paused_pair_is_handed_back_and_runs_after_the_pause(stage: Stage, worker: WorkerProcess) -> None:
    slow = QUICK.model_copy(update={"size_px": 64, "steps": 400})
    batch = stage.submit([png(picture(50))], [png(picture(51))], slow)
    eventually(lambda: stage.ledger.status(batch).running == 1, what="a running pair")
    stage.ledger.control(batch, Control.PAUSE)
    eventually(lambda: stage.ledger.status(batch).running == 0, seconds=15, what="the hand-back")
    assert stage.ledger.status(batch).due == 1
    stage.ledger.control(batch, Control.RESUME)
    eventually(lambda: stage.is_over(batch), what="the batch")
    assert metadata_of(stage, batch, 0).attempts == 1


def test_a_foreign_s3_client_finds_picture_and_metadata(
    valkey: RedisServer, s3_server: S3Server, namespace: str, tmp_path: Path
) -> None:
    foreign = s3_server.access().client()
    s3_server.create_bucket("museum")
    stage = Stage(
        {
            "IMPASTO_REDIS_URL": valkey.url,
            "IMPASTO_NAMESPACE": namespace,
            "IMPASTO_STORE_URL": "s3://museum/restyled",
            **s3_server.environment,
        }
    )
    settings = QUICK.model_copy(update={"format": "jpeg"})
    # An input that lies in the bucket already is read where it lies.
    foreign.put_object(Bucket="museum", Key="photos/cat.png", Body=png(picture(60)))
    with stage.worker(tmp_path / "worker.log") as worker:
        worker.ready()
        batch = stage.submit([png(picture(61))], [png(picture(62))], settings)
        job = {
            "content": "s3://museum/photos/cat.png",
            "style": stage.files.style(batch, 0).uri,
            "settings": settings.model_dump(mode="json"),
            "output": "by title/cat at night",
        }
        stage.app.send_task(TASK_NAME, args=[job], queue=stage.deployment.queue)
        eventually(lambda: len(stage.ledger.batches()) == 2, what="the adopted batch")
        eventually(lambda: all(map(stage.is_over, stage.ledger.batches())), what="both batches")
    found = foreign.get_object(Bucket="museum", Key=f"restyled/outputs/{batch}/content0__style0.jpg")
    assert found["ContentType"] == "image/jpeg"
    with Image.open(io.BytesIO(found["Body"].read())) as image:
        image.load()
    beside = foreign.get_object(Bucket="museum", Key=f"restyled/outputs/{batch}/content0__style0.json")
    metadata = OutputMetadata.model_validate(json.loads(beside["Body"].read()))
    assert beside["ContentType"] == "application/json"
    assert found["Metadata"]["fingerprint"] == metadata.fingerprint
    assert {stage.ledger.status(b).state for b in stage.ledger.batches()} == {BatchState.DONE}
    (adopted,) = set(stage.ledger.batches()) - {batch}
    for ending in ("jpg", "json"):
        assert foreign.head_object(
            Bucket="museum", Key=f"restyled/outputs/{adopted}/by title/cat at night.{ending}"
        )
    stage.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"IMPASTO_REDIS_URL": ""}, "IMPASTO_REDIS_URL"),
        ({"IMPASTO_WEIGHTS": "nowhere.pth"}, "nowhere.pth"),
        ({"IMPASTO_STORE_URL": "ftp://x"}, "IMPASTO_STORE_URL"),
        ({"IMPASTO_DEVICE": "toaster"}, "IMPASTO_DEVICE"),
    ],
)
def test_a_worker_that_cannot_work_says_why_in_one_line(
    stage: Stage, tmp_path: Path, change: dict[str, str], named: str
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "impasto.worker", "run"],
        env={"PATH": "", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", **stage.environment, **change},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    told = [line for line in process.stderr.splitlines() if line.startswith("impasto worker:")]
    assert process.returncode not in {0, 1}
    assert len(told) == 1
    assert named in told[0]
    assert "Traceback" not in process.stderr
