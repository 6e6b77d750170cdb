"""What a worker does with a pair, on a real server, the real network and a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from impasto.shared import layout
from impasto.shared.errors import StoreUnavailable
from impasto.shared.jobs import BatchSpec, InputRef, PairJob
from impasto.shared.ledger import BatchOpening, BatchState, Control, EventType, Lease
from impasto.shared.metadata import OutputMetadata
from impasto.shared.store.folder import FolderStore
from impasto.worker import pipeline
from impasto.worker.conveyor import Conveyor
from impasto.worker.engine import Checkpoint
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.networks import Networks
from impasto.worker.patience import Patience
from impasto.worker.pipeline import Computed, Encoded, Fetched, Pipeline
from impasto.worker.settling import Settler
from impasto.worker.stopping import Stopping
from impasto.worker.task import PairTask
from servers import RedisServer
from stage import QUICK, Stage, folder_stage, picture, png

T = TypeVar("T")


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


class Parts:
    """A task and what it is made of, in this process."""

    def __init__(self, stage: Stage, store: FolderStore | None = None) -> None:
        self.held_pairs, stopping = HeldPairs(), Stopping(1)
        patience = Patience(self.held_pairs, stopping, store_seconds=1)
        self.pipeline = Pipeline(
            networks=Networks(device="cpu", weights="caffe"),
            store=store or stage.store,
            deployment=stage.deployment,
            worker="w",
        )
        self.finished: list[str] = []
        self.settler = Settler(
            worker="w",
            deployment=stage.deployment,
            ledger=stage.ledger,
            dispatcher=stage.dispatcher,
            held_pairs=self.held_pairs,
            patience=patience,
            on_finished=self.finished.append,
        )
        self.conveyor = Conveyor(
            deployment=stage.deployment,
            ledger=stage.ledger,
            dispatcher=stage.dispatcher,
            pipeline=self.pipeline,
            settler=self.settler,
            held_pairs=self.held_pairs,
            stopping=stopping,
            patience=patience,
        )
        self.task = PairTask(
            worker="w",
            deployment=stage.deployment,
            ledger=stage.ledger,
            files=stage.files,
            conveyor=self.conveyor,
            held_pairs=self.held_pairs,
            patience=patience,
        )
        self.conveyor.start()

    def handle(self, job: PairJob) -> None:
        """One message, until nothing of it is under way."""
        self.task.handle(job.to_wire())
        self.conveyor.drain()

    def make(self, job: PairJob, batch: str, attempt: int = 1) -> OutputMetadata:
        """The pair's result in the store, and the ledger told nothing."""
        fetched = self.pipeline.fetch(job, batch=batch, attempt=attempt, patiently=at_once)
        assert isinstance(fetched, Fetched)
        encoded = self.pipeline.encode(self.pipeline.compute(fetched, on_step=lambda losses: None))
        return self.pipeline.put(encoded, patiently=at_once, to_the_end=at_once)


def at_once(call: Callable[[], T]) -> T:
    """For a store that answers."""
    return call()


def test_a_batch_that_is_cancelled_during_a_put_keeps_whole_results_only(
    stage: Stage, tmp_path: Path
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])

    class CancelledMeanwhile(FolderStore):
        def put(self, key: str, *args: Any, **kwargs: Any) -> None:
            super().put(key, *args, **kwargs)
            if key.endswith(".png"):
                stage.ledger.control(batch, Control.CANCEL)
                (held,) = parts.held_pairs.all()
                held.renew(stage.ledger, 30)

    parts = Parts(stage, CancelledMeanwhile(tmp_path / "store"))
    parts.handle(stage.files.job(batch, 0))
    status = stage.ledger.status(batch)
    assert (status.done, status.cancelled, status.state) == (1, 0, BatchState.CANCELLED)
    suffixes = sorted(Path(info.key).suffix for info in stage.store.list(layout.outputs_prefix(batch)))
    assert suffixes == [".json", ".png"]


def test_a_pair_that_only_waits_to_be_put_is_done_though_its_batch_is_paused(
    stage: Stage, tmp_path: Path
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])

    class PausedMeanwhile(FolderStore):
        def put(self, key: str, *args: Any, **kwargs: Any) -> None:
            if key.endswith(".png") and stage.ledger.status(batch).state is BatchState.ACTIVE:
                stage.ledger.control(batch, Control.PAUSE)
                (held,) = parts.held_pairs.all()
                held.renew(stage.ledger, 30)
                raise StoreUnavailable("away for a moment")
            super().put(key, *args, **kwargs)

    parts = Parts(stage, PausedMeanwhile(tmp_path / "store"))
    parts.handle(stage.files.job(batch, 0))
    assert stage.ledger.status(batch).done == 1


@pytest.mark.parametrize("late", [".png", ".json"])
def test_two_workers_that_make_a_pair_leave_a_picture_and_metadata_of_one_of_them(
    stage: Stage, tmp_path: Path, late: str
) -> None:
    """The store fails this worker at the picture (which arrives all the same) or at the metadata, and just
    then it is told that another one, whose bytes differ, was before it.
    """
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    metadata_key = layout.metadata_key(batch, stage.files.job(batch, 0).output_stem)

    class LostMeanwhile(FolderStore):
        def put(self, key: str, *args: Any, **kwargs: Any) -> None:
            mine = key.startswith(layout.outputs_prefix(batch)) and key.endswith(late)
            if not mine or stage.ledger.status(batch).done:
                super().put(key, *args, **kwargs)
                return
            if late == ".png":
                super().put(key, *args, **kwargs)
            super().put(metadata_key, b"the other one's", content_type="application/json")
            stage.ledger.finish(batch, 0, lease_id="the other one's", busy_seconds=1)
            (held,) = parts.held_pairs.all()
            held.renew(stage.ledger, 30)
            raise StoreUnavailable("no answer")

    parts = Parts(stage, LostMeanwhile(tmp_path / "store"))
    parts.handle(stage.files.job(batch, 0))
    metadata = OutputMetadata.model_validate_json(stage.store.get(metadata_key))
    assert hashlib.sha256(stage.store.get(metadata.picture_key)).hexdigest() == metadata.picture_sha256
    assert stage.ledger.status(batch).done == 1
    assert parts.held_pairs.all() == []


def test_a_pair_that_others_made_while_it_was_computed_is_not_put(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    parts = Parts(stage)
    encode = parts.pipeline.encode

    def encode_late(computed: Computed) -> Encoded:
        stage.ledger.finish(batch, 0, lease_id="the other one's", busy_seconds=1)
        return encode(computed)

    monkeypatch.setattr(parts.pipeline, "encode", encode_late)
    parts.handle(stage.files.job(batch, 0))
    assert list(stage.store.list(layout.outputs_prefix(batch))) == []
    assert stage.ledger.status(batch).done == 1


@pytest.mark.parametrize("trouble", ["no memory", "too large"])
def test_a_pair_without_a_checkpoint_is_handed_back_all_the_same_and_no_attempt_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    parts = Parts(stage)
    tell = HeldPair.tell

    def tell_of_pause(held: HeldPair, progress: dict[str, Any]) -> None:
        tell(held, progress)
        stage.ledger.control(batch, Control.PAUSE)
        held.renew(stage.ledger, 30)

    def no_memory(checkpoint: Checkpoint) -> bytes:
        raise MemoryError

    monkeypatch.setattr(HeldPair, "tell", tell_of_pause)
    if trouble == "no memory":
        monkeypatch.setattr(Checkpoint, "to_bytes", no_memory)
    else:
        monkeypatch.setattr(pipeline, "LARGEST_CHECKPOINT_BYTES", 1000)
    parts.handle(stage.files.job(batch, 0))
    last = stage.ledger.events(batch)[-1]
    assert (last.type, last.data["give_back"]) == (EventType.PAIR_POSTPONED, True)
    assert "paused" in last.data["reason"]
    assert stage.store.head(layout.checkpoint_key(batch, 0)) is None
    stage.ledger.control(batch, Control.RESUME)
    lease = stage.ledger.lease(batch, 0, worker="w", lease_id="next", ttl_seconds=30)
    assert isinstance(lease, Lease)
    assert lease.attempt == 1


def test_a_large_batch_whose_files_are_gone_fails_in_few_sweeps(stage: Stage) -> None:
    spec = BatchSpec(
        batch="gone", name="gone", created_at=datetime.now(UTC), contents=150, styles=1, settings=QUICK
    )
    refs = [InputRef(uri=f"store:inputs/{i}.png", name=f"{i}.png", slug=str(i)) for i in range(150)]
    stage.files.write(spec, refs, refs[:1])
    stage.store.delete(layout.spec_key("gone"))
    stage.ledger.open(BatchOpening("gone", 150, "gone"))
    parts = Parts(stage)
    parts.settler.fail_unreadable(stage.dispatcher.advance("gone"))
    assert stage.ledger.status("gone").failed == 150
    assert parts.finished == ["gone"]


def test_a_result_that_a_dead_worker_left_is_counted_and_not_made_again(stage: Stage) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    parts = Parts(stage)
    job = stage.files.job(batch, 0)
    made = parts.make(job, batch)
    parts.handle(job)
    assert stage.ledger.status(batch).done == 1
    (_, metadata) = sorted(stage.store.list(layout.outputs_prefix(batch)), key=lambda info: info.key)[::-1]
    assert stage.store.get(metadata.key) == made.model_dump_json(indent=2).encode()


def test_a_result_of_other_inputs_under_the_same_name_is_made_anew(stage: Stage) -> None:
    first, second = (stage.submit([png(picture(seed))], [png(picture(2))]) for seed in (1, 3))
    parts = Parts(stage)
    for batch in (first, second):
        parts.make(stage.files.job(batch, 0), batch)
    stem = stage.files.job(first, 0).output_stem
    foreign = stage.store.get(layout.metadata_key(first, stem))
    stage.store.put(layout.metadata_key(second, stem), foreign, content_type="application/json")
    made = parts.make(stage.files.job(second, 0), second, attempt=2)
    assert made.batch == second
    assert made.attempts == 2


def test_a_pair_in_other_hands_is_left_alone_and_a_bad_one_fails_by_its_names(stage: Stage) -> None:
    batch = stage.submit([png(picture(1))], [b"no picture"])
    parts = Parts(stage)
    answer = stage.ledger.lease(batch, 0, worker="other", lease_id="l", ttl_seconds=30)
    assert isinstance(answer, Lease)
    parts.handle(stage.files.job(batch, 0))
    assert stage.ledger.status(batch).running == 1
    stage.ledger.postpone(batch, 0, lease_id="l", delay_seconds=0, give_back=True, reason="")
    parts.handle(stage.files.job(batch, 0))
    (failure,) = stage.ledger.failures(batch)
    assert (failure.kind, failure.attempts, failure.style) == ("bad_picture", 1, "style0.png")
    assert parts.held_pairs.all() == []
