"""Patience with an end: for whatever a program waits for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, TypeVar

from impasto.shared.errors import TimedOut
from impasto.shared.ledger import BatchStatus

_Item = TypeVar("_Item")

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.0


class Tick(Enum):
    """What a stream gives while there is nothing to give: whoever drives it may then leave."""

    TICK = "tick"


class Deadline:
    """So many seconds from now, or never."""

    def __init__(self, batch: str, timeout_seconds: float | None) -> None:
        self._batch = batch
        self._timeout_seconds = timeout_seconds
        self._at = None if timeout_seconds is None else time.monotonic() + timeout_seconds

    def left(self, status: BatchStatus | None = None) -> float:
        """Seconds that are left, infinite without an end. Raises TimedOut, with where the batch stands."""
        if self._at is None:
            return float("inf")
        left = self._at - time.monotonic()
        if left <= 0:
            stands = "" if status is None else f": {status.settled} of {status.total} pairs are settled"
            raise TimedOut(
                f"batch {self._batch} is not over after {self._timeout_seconds:g} s{stands}, and it goes on"
            )
        return left

    def pauses(self) -> Iterator[float]:
        """Seconds to the next question, each a little longer than the one before."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            yield pause_seconds
            pause_seconds = min(_LONGEST_PAUSE_SECONDS, pause_seconds * 1.5)

    def sleep(self, seconds: float) -> Iterator[Tick]:
        """Sleep, with a tick each second. Raises TimedOut."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(1.0, left, self.left()))
            yield Tick.TICK


def without_ticks(stream: Iterable[_Item | Tick]) -> Iterator[_Item]:
    """What there is to give."""
    return (item for item in stream if not isinstance(item, Tick))
