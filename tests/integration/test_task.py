"""What a worker does with a pair, on a real server, the real network and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from impasto.shared import layout
from impasto.shared.jobs import BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening, BatchState, Control, Lease
from impasto.shared.store.folder import FolderStore
from impasto.worker.current import CurrentPair, Stopping
from impasto.worker.networks import Networks
from impasto.worker.patience import Patience
from impasto.worker.pipeline import Pipeline
from impasto.worker.task import PairTask
from servers import RedisServer
from stage import QUICK, Stage, folder_stage, picture, png


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


class Parts:
    """A task and what it is made of, in this process."""

    def __init__(self, stage: Stage, store: FolderStore | None = None) -> None:
        self.current, stopping = CurrentPair(), Stopping(1)
        patience = Patience(self.current, stopping, store_seconds=1)
        self.pipeline = Pipeline(
            networks=Networks(device="cpu", weights="caffe"),
            store=store or stage.store,
            deployment=stage.deployment,
            patience=patience,
            worker="w",
        )
        self.finished: list[str] = []
        self.task = PairTask(
            worker="w",
            deployment=stage.deployment,
            ledger=stage.ledger,
            files=stage.files,
            dispatcher=stage.dispatcher,
            pipeline=self.pipeline,
            current=self.current,
            stopping=stopping,
            patience=patience,
            on_finished=self.finished.append,
        )


def test_a_batch_that_is_cancelled_during_a_put_keeps_whole_results_only(
    stage: Stage, tmp_path: Path
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])

    class CancelledMeanwhile(FolderStore):
        def put(self, key: str, *args: Any, **kwargs: Any) -> None:
            super().put(key, *args, **kwargs)
            if key.endswith(".png"):
                stage.ledger.control(batch, Control.CANCEL)
                held = parts.current.held()
                assert held is not None
                lease = held[0]
                answer = stage.ledger.renew(batch, 0, lease_id=lease.lease_id, ttl_seconds=30, progress={})
                parts.current.answer(lease, answer)

    parts = Parts(stage, CancelledMeanwhile(tmp_path / "store"))
    parts.task.handle(stage.files.job(batch, 0).to_wire())
    status = stage.ledger.status(batch)
    assert (status.done, status.cancelled, status.state) == (1, 0, BatchState.CANCELLED)
    suffixes = sorted(Path(info.key).suffix for info in stage.store.list(layout.outputs_prefix(batch)))
    assert suffixes == [".json", ".png"]


def test_a_large_batch_whose_files_are_gone_fails_in_few_sweeps(stage: Stage) -> None:
    spec = BatchSpec(
        batch="gone", name="gone", created_at=datetime.now(UTC), contents=150, styles=1, settings=QUICK
    )
    refs = [InputRef(uri=f"store:inputs/{i}.png", name=f"{i}.png", slug=str(i)) for i in range(150)]
    stage.files.write(spec, refs, refs[:1])
    stage.store.delete(layout.spec_key("gone"))
    stage.ledger.open(BatchOpening("gone", 150, "gone"))
    parts = Parts(stage)
    parts.task.fail_unreadable(stage.dispatcher.advance("gone"))
    assert stage.ledger.status("gone").failed == 150
    assert parts.finished == ["gone"]


def test_a_result_that_a_dead_worker_left_is_counted_and_not_made_again(stage: Stage) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    parts = Parts(stage)
    job = stage.files.job(batch, 0)
    made = parts.pipeline.run(job, batch=batch, attempt=1, on_step=lambda losses: None)
    parts.task.handle(job.to_wire())
    assert stage.ledger.status(batch).done == 1
    (_, metadata) = sorted(stage.store.list(layout.outputs_prefix(batch)), key=lambda info: info.key)[::-1]
    assert stage.store.get(metadata.key) == made.model_dump_json(indent=2).encode()


def test_a_result_of_other_inputs_under_the_same_name_is_made_anew(stage: Stage) -> None:
    first, second = (stage.submit([png(picture(seed))], [png(picture(2))]) for seed in (1, 3))
    parts = Parts(stage)
    for batch in (first, second):
        parts.pipeline.run(stage.files.job(batch, 0), batch=batch, attempt=1, on_step=lambda losses: None)
    stem = stage.files.job(first, 0).output_stem
    foreign = stage.store.get(layout.metadata_key(first, stem))
    stage.store.put(layout.metadata_key(second, stem), foreign, content_type="application/json")
    made = parts.pipeline.run(
        stage.files.job(second, 0), batch=second, attempt=2, on_step=lambda losses: None
    )
    assert made.batch == second
    assert made.attempts == 2


def test_a_pair_in_other_hands_is_left_alone_and_a_bad_one_fails_by_its_names(stage: Stage) -> None:
    batch = stage.submit([png(picture(1))], [b"no picture"])
    parts = Parts(stage)
    answer = stage.ledger.lease(batch, 0, worker="other", lease_id="l", ttl_seconds=30)
    assert isinstance(answer, Lease)
    parts.task.handle(stage.files.job(batch, 0).to_wire())
    assert stage.ledger.status(batch).running == 1
    stage.ledger.postpone(batch, 0, lease_id="l", delay_seconds=0, give_back=True, reason="")
    parts.task.handle(stage.files.job(batch, 0).to_wire())
    (failure,) = stage.ledger.failures(batch)
    assert (failure.kind, failure.attempts, failure.style) == ("bad_picture", 1, "style0.png")
    assert parts.current.held() is None
