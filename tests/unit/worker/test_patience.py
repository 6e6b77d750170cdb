from __future__ import annotations

from collections.abc import Callable

import pytest

from impasto.shared.deployment import Deployment
from impasto.shared.errors import CredentialsUnusable, StoreExhausted, StoreUnavailable
from impasto.shared.ledger import Lease
from impasto.worker import patience
from impasto.worker.held import HeldPair, HeldPairs
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
    none = patience.Patience(HeldPairs(), Stopping(1), store_seconds=0, check_store=store.check)
    return lambda: none.with_store(held, store.get)


@pytest.mark.parametrize("questions", range(4))
def test_an_outage_costs_nothing_at_whichever_question_it_ends(questions: int) -> None:
    assert patiently(Store(questions, gives_object=True))() == "the object"


class Clock:
    """Stands still but for what is slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def usually(store: Store) -> Callable[[], str]:
    """With the patience that a deployment has by itself."""
    held = HeldPair(Lease("b", 0, "l", attempt=1, deaths=0), computing=True)
    seconds = Deployment(_env_file=None).store_patience_seconds
    usual = patience.Patience(HeldPairs(), Stopping(1), store_seconds=seconds, check_store=store.check)
    return lambda: usual.with_store(held, store.get)


def test_an_object_that_is_never_given_is_given_up_within_a_minute(clock: Clock) -> None:
    with pytest.raises(StoreUnavailable, match="the object is never given"):
        usually(Store(0, gives_object=False))()
    assert 0 < clock.now < 60


def test_a_store_that_is_away_for_hours_is_waited_for(clock: Clock) -> None:
    assert usually(Store(2000, gives_object=True))() == "the object"
    assert clock.now > 3600


@pytest.mark.parametrize(
    "error", [CredentialsUnusable("the login ran out"), StoreExhausted("it is full for what is not tiny")]
)
def test_what_is_wrong_with_every_object_is_waited_for_though_the_stores_check_passes(
    clock: Clock, error: StoreUnavailable
) -> None:
    class Inputs(Store):
        def get(self) -> str:
            if clock.now < 3600:
                raise error
            return "the object"

    assert usually(Inputs(0, gives_object=True))() == "the object"


def test_an_object_that_a_store_never_gives_is_given_up() -> None:
    with pytest.raises(StoreUnavailable, match="the object is never given"):
        patiently(Store(0, gives_object=False))()
