from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from impasto.shared.errors import StoreUnavailable
from impasto.worker.busy import Busy

T = TypeVar("T")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Store:
    """Takes 60 s to fail as often as `outage` says, then 3 s to answer."""

    def __init__(self, clock: Clock, outage: int) -> None:
        self.clock = clock
        self.outage = outage

    def put(self) -> str:
        self.outage -= 1
        if self.outage >= 0:
            self.clock.now += 60
            raise StoreUnavailable("away")
        self.clock.now += 3
        return "put"


@pytest.mark.parametrize("outage", [0, 1, 60])
def test_an_hour_of_waiting_for_the_store_is_not_the_pairs(outage: int) -> None:
    clock = Clock()
    store, busy = Store(clock, outage), Busy(clock)

    def patiently(call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except StoreUnavailable:
                clock.now += 5

    with busy.stage("compute"):
        clock.now += 4
    with busy.stage("put"):
        clock.now += 1
    with busy.stage("put"):
        assert busy.patient(patiently)(store.put) == "put"
        assert busy.patient(patiently)(store.put) == "put"
    assert busy.seconds == {"compute": 4, "put": 1 + 3 + 3}
    assert busy.most_seconds == 7


def test_a_stage_that_fails_counts_without_its_waiting() -> None:
    clock = Clock()
    store, busy = Store(clock, outage=2), Busy(clock)

    def twice(call: Callable[[], T]) -> T:
        try:
            return call()
        except StoreUnavailable:
            clock.now += 5
            return call()

    with pytest.raises(StoreUnavailable), busy.stage("fetch"):
        busy.patient(twice)(store.put)
    assert busy.most_seconds == 60
