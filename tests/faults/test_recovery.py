"""After a night that went wrong: what is mended goes on, and what is finished stays finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.producer import Client
from impasto.shared import layout
from impasto.shared.ledger import BatchState, Control
from impasto.shared.reports import Report
from servers import RedisServer, valkey_binary
from stage import QUICK, Stage, folder_stage, picture, png
from workers import eventually

SECONDS = QUICK.model_copy(update={"size_px": 64, "steps": 80})
"""A second or more: long enough that the batch is half done for a while."""


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


def test_a_half_done_batch_is_rebuilt_from_the_store_and_only_the_rest_is_made(
    namespace: str, tmp_path: Path
) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        pictures = [png(picture(i)) for i in range(4)]
        cancelled = stage.submit(pictures[:1], [png(picture(98))], paused=True)
        stage.ledger.control(cancelled, Control.CANCEL)
        batch = stage.submit(pictures, [png(picture(99))], SECONDS, priority=3)
        with stage.worker(tmp_path / "first.log") as worker:
            worker.ready()
            eventually(
                lambda: stage.store.head(layout.report_key(cancelled, "json")) is not None, what="the report"
            )
            eventually(lambda: stage.ledger.status(batch).done >= 2, what="half of the batch")
        done = set(stage.ledger.done_pairs(batch))
        # One whose put was over when the power went, and which the ledger had not heard of, is found as well.
        prefix, before = layout.outputs_prefix(batch), {}
        for info in stage.store.list(prefix):
            before[info.key] = stage.store.get(info.key)
        found = sum(key.endswith(".json") for key in before)

        server.stop()
        shutil.rmtree(server.folder)
        server.start()
        assert stage.ledger.batches() == []
        with Client(stage.deployment) as client:
            recovery = client.recover()
            again = client.recover()
        assert [(one.batch, one.total, one.done, one.state) for one in recovery.recovered] == [
            (cancelled, 1, 0, BatchState.CANCELLED),
            (batch, 4, found, BatchState.ACTIVE),
        ]
        assert (again.recovered, again.known, again.problems) == ((), 2, ())
        assert set(stage.ledger.done_pairs(batch)) >= done

        with stage.worker(tmp_path / "second.log") as worker:
            worker.ready()
            eventually(lambda: stage.is_over(batch), seconds=90, what="the batch")
            made = {event["pair"] for event in worker.events("pair.started")}
        assert len(made) == 4 - found
        assert not made & done
        status = stage.ledger.status(batch)
        assert (status.state, status.done, status.priority) == (BatchState.DONE, 4, 3)
        assert {key: stage.store.get(key) for key in before if key.endswith(".json")} == {
            key: data for key, data in before.items() if key.endswith(".json")
        }
        assert stage.ledger.status(cancelled).state is BatchState.CANCELLED
        stage.close()


def test_what_failed_is_made_once_its_cause_is_mended_and_retried_and_nothing_else_is(
    stage: Stage, tmp_path: Path
) -> None:
    contents = [png(picture(i)) for i in range(3)]
    batch = stage.submit(contents, [png(picture(99))], paused=True)
    damaged = stage.files.job(batch, 1).content.uri.removeprefix("store:")
    stage.store.put(damaged, b"cut short", content_type="image/png")

    def reported() -> Report | None:
        key = layout.report_key(batch, "json")
        if stage.store.head(key) is None:
            return None
        return Report.model_validate_json(stage.store.get(key))

    with stage.worker(tmp_path / "worker.log") as worker, Client(stage.deployment) as client:
        worker.ready()
        client.resume(batch)
        eventually(lambda: (told := reported()) is not None and told.state == "failed", what="the report")
        stage.store.put(damaged, contents[1], content_type="image/png")
        assert client.retry(batch) == 1
        eventually(lambda: (told := reported()) is not None and told.state == "done", what="a new report")
        assert sorted(event["pair"] for event in worker.events("pair.started")) == [0, 1, 1, 2]
    assert stage.ledger.status(batch).done == 3
