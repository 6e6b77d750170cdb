"""Whether the process has been told to end, and by when."""

from __future__ import annotations

import time


class Stopping:
    """Set from a signal handler, so lock-free."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None

    def request(self) -> None:
        """The first request starts the grace period, a second one ends it."""
        first = self._deadline is None
        self._deadline = time.monotonic() + (self._grace_seconds if first else 0.0)

    @property
    def requested(self) -> bool:
        return self._deadline is not None

    @property
    def seconds_left(self) -> float:
        """Of the grace period; infinite while nobody asked to stop."""
        return float("inf") if self._deadline is None else max(0.0, self._deadline - time.monotonic())
