from __future__ import annotations

from collections.abc import Callable

import pytest

from impasto.shared.errors import StoreUnavailable
from impasto.shared.ledger import Lease
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.stopping import Stopping


class Store:
    """Away as long as `outage` has something left, of which each question takes one."""

    def __init__(self, outage: int, *, gives_object: bool) -> None:
        self.outage = outage
        self.gives_object = gives_object

    def check(self) -> None:
        self.outage -= 1
        if self.outage >= 0:
            raise StoreUnavailable("the store is away")

    def get(self) -> str:
        self.check()
        if not self.gives_object:
            raise StoreUnavailable("the object is never given")
        return "the object"


def patiently(store: Store) -> Callable[[], str]:
    """With no patience at all: each failure asks whether the store is there."""
    held = HeldPair(Lease("b", 0, "l", attempt=1, deaths=0), computing=True)
    patience = Patience(HeldPairs(), Stopping(1), store_seconds=0, check_store=store.check)
    return lambda: patience.with_store(held, store.get)


@pytest.mark.parametrize("questions", range(4))
def test_an_outage_costs_nothing_at_whichever_question_it_ends(questions: int) -> None:
    assert patiently(Store(questions, gives_object=True))() == "the object"


def test_an_object_that_a_store_never_gives_is_given_up() -> None:
    with pytest.raises(StoreUnavailable, match="the object is never given"):
        patiently(Store(0, gives_object=False))()
