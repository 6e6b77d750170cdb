"""What a pair takes of its worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from impasto.worker.patience import Patiently

T = TypeVar("T")


class Busy:
    """Seconds by stage, without those in which a server was waited for: estimates and prices go by them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waited_seconds = 0.0
        self.seconds: dict[str, float] = {}

    @property
    def most_seconds(self) -> float:
        """Of the slowest stage: what a worker gets through is what that one gets through."""
        return max(self.seconds.values(), default=0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside to that stage, also when it ends in an error."""
        began, waited = self._clock(), self._waited_seconds
        try:
            yield
        finally:
            took = self._clock() - began - (self._waited_seconds - waited)
            self.seconds[name] = self.seconds.get(name, 0.0) + took

    def patient(self, patiently: Patiently) -> Patiently:
        """The same, but only the last try of each call counts: the others and the pauses were waiting."""

        def call_patiently(call: Callable[[], T]) -> T:
            began = last = self._clock()

            def call_once() -> T:
                nonlocal last
                last = self._clock()
                return call()

            try:
                return patiently(call_once)
            finally:
                self._waited_seconds += last - began

        return call_patiently
