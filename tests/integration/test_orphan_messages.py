"""Messages whose batch the ledger does not know: whose fault that is decides whether people hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from impasto.shared.batches import BatchFiles
from impasto.shared.errors import StoreUnavailable
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Control
from impasto.shared.store import ObjectStore
from impasto.shared.store.folder import FolderStore
from impasto.worker.held import HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.stopping import Stopping
from impasto.worker.task import PairTask
from servers import RedisServer
from stage import Stage, folder_stage, picture, png


class Away(FolderStore):
    def head(self, key: str) -> Any:
        raise StoreUnavailable("the store is away")


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


def forgotten(stage: Stage) -> PairJob:
    """A pair of a batch that was over and is not on the ledger any more."""
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    stage.ledger.control(batch, Control.CANCEL)
    assert stage.ledger.forget(batch)
    return stage.files.job(batch, 0)


def buried(stage: Stage, store: ObjectStore, job: PairJob) -> list[str]:
    """For what reasons, after a worker took the message; it has nothing to carry."""
    held_pairs = HeldPairs()
    task = PairTask(
        worker="w",
        deployment=stage.deployment,
        ledger=stage.ledger,
        files=BatchFiles(store),
        conveyor=SimpleNamespace(wait_until_wanted=lambda: None),
        held_pairs=held_pairs,
        patience=Patience(held_pairs, Stopping(1), store_seconds=1),
    )
    task.handle(job.to_wire())
    return [letter.reason for letter in stage.ledger.dead_letters()]


def test_a_message_that_outlived_its_batch_is_no_dead_letter(stage: Stage) -> None:
    assert buried(stage, stage.store, forgotten(stage)) == []


def test_a_message_of_a_batch_that_never_was_is_a_dead_letter(stage: Stage) -> None:
    job = forgotten(stage).model_copy(update={"batch": "nobodys"})
    (reason,) = buried(stage, stage.store, job)
    assert "nobodys" in reason


def test_a_message_of_a_pair_that_its_batch_does_not_have_is_a_dead_letter(stage: Stage) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    (reason,) = buried(stage, stage.store, stage.files.job(batch, 0).model_copy(update={"pair": 7}))
    assert f"{batch} has no such pair" in reason


def test_nothing_is_buried_on_the_word_of_a_store_that_does_not_answer(stage: Stage, tmp_path: Path) -> None:
    job = forgotten(stage).model_copy(update={"batch": "unknown"})
    assert buried(stage, Away(tmp_path / "store"), job) == []
