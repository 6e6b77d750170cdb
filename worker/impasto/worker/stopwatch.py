"""Where a pair's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class Stopwatch:
    """Seconds by phase, added up when a phase comes again; on a clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._made = time.perf_counter()

    @property
    def elapsed(self) -> timedelta:
        """Since it was made, in a phase or between two."""
        return timedelta(seconds=time.perf_counter() - self._made)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside to that phase, also when it ends in an error."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
