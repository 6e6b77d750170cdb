"""A pair that ends early leaves nothing of itself in memory: on a device that would be its tensors."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from impasto.shared.errors import OutOfDeviceMemory
from impasto.shared.ledger import Control, Lease
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.settling import Settler
from impasto.worker.stopping import Stopping
from servers import RedisServer
from stage import Stage, folder_stage, picture, png


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def _without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Tensor:
    """What lies on the device in the test's imagination."""


def ordered(control: Control) -> Callable[[Stage, HeldPair], None]:
    def end(stage: Stage, held: HeldPair) -> None:
        stage.ledger.control(held.lease.batch, control)
        held.renew(stage.ledger, 30)
        held.obey()

    return end


def given_on(stage: Stage, held: HeldPair) -> None:
    lease = held.lease
    stage.ledger.postpone(
        lease.batch, lease.pair, lease_id=lease.lease_id, delay_seconds=0, give_back=True, reason=""
    )
    held.renew(stage.ledger, 30)
    held.obey()


def unforeseen(stage: Stage, held: HeldPair) -> None:
    raise RuntimeError("CUDA error: " + "an illegal memory access was encountered " * 1000)


def too_large(stage: Stage, held: HeldPair) -> None:
    try:
        unforeseen(stage, held)
    except RuntimeError as error:
        kept = error
        raise OutOfDeviceMemory("the device has too little memory") from kept


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize(
    "end", [ordered(Control.PAUSE), ordered(Control.CANCEL), given_on, unforeseen, too_large]
)
def test_nothing_of_a_pair_that_ends_early_waits_for_the_collector(
    stage: Stage, end: Callable[[Stage, HeldPair], None]
) -> None:
    batch = stage.submit([png(picture(1))], [png(picture(2))])
    held_pairs = HeldPairs()
    settler = Settler(
        worker="w",
        deployment=stage.deployment,
        ledger=stage.ledger,
        dispatcher=stage.dispatcher,
        held_pairs=held_pairs,
        patience=Patience(held_pairs, Stopping(1), store_seconds=1),
        on_finished=lambda finished: None,
    )
    lease = stage.ledger.lease(batch, 0, worker="w", lease_id="l", ttl_seconds=30)
    assert isinstance(lease, Lease)
    held = held_pairs.take(lease)
    left: list[weakref.ref[Tensor]] = []

    def stylize() -> None:
        tensor = Tensor()
        left.append(weakref.ref(tensor))
        end(stage, held)

    assert settler.attempt(stage.files.job(batch, 0), held, stylize) is None
    (tensor,) = left
    assert tensor() is None
    assert held_pairs.all() == []
    reasons = [event.data.get("reason", "") for event in stage.ledger.events(batch)]
    assert max(map(len, reasons)) <= 500
