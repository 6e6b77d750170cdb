"""When the next pair is to be fetched: so early that the device need not wait, and no earlier.

A pair fetched too early is one that an idle worker could have had, and that a more urgent batch waits behind.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

_REMEMBERED: Final = 8
_LEAST_LEAD_SECONDS: Final = 0.5
_LONGEST_LEAD_SECONDS: Final = 60.0


class Pace:
    """Told by the threads that fetch and compute; asked by the one that takes messages."""

    def __init__(self) -> None:
        self._fetch_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._began = 0.0
        self._own_steps = 0
        self._ends_at: float | None = None

    def fetched(self, seconds: float) -> None:
        """So long did a pair take from its message to being ready to compute."""
        self._fetch_seconds.append(seconds)

    def begin(self) -> None:
        """A pair begins to compute; when it ends is unknown until its first steps."""
        self._began, self._own_steps, self._ends_at = time.monotonic(), 0, None

    def step(self, step: int, steps: int) -> float:
        """After each step of the pair; answers the seconds that it needs still.

        A pair that another worker began goes on where that one stopped, so its own steps are counted.
        """
        self._own_steps += 1
        now = time.monotonic()
        remaining = (steps - step) * (now - self._began) / self._own_steps
        self._ends_at = now + remaining
        return remaining

    def end(self) -> None:
        """The pair has ended computing: whatever comes next is waited for."""
        self._ends_at = 0.0

    @property
    def lead_seconds(self) -> float:
        """How long before the end of one pair the next one's fetch begins."""
        slowest = max(self._fetch_seconds, default=0.0)
        return min(_LONGEST_LEAD_SECONDS, _LEAST_LEAD_SECONDS + 2 * slowest)

    def is_near_the_end(self) -> bool:
        """Whether the pair that computes needs no more than the lead."""
        return self._ends_at is not None and self._ends_at - time.monotonic() <= self.lead_seconds
