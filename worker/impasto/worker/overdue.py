"""The end of a stop that can't be polite: a step that takes minutes, a store that hangs with a checkpoint.

Whoever supervises the worker would kill it, and what computes would be charged with that death.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import structlog

from impasto.worker.repeating import Repeating
from impasto.worker.stopping import Stopping

log = structlog.get_logger()

LATE_SECONDS = 20.0
"""Beyond the grace period, for the running step, a checkpoint and the last put. Supervisors are asked for
twice the grace period and 30 s; the rest is for handing back."""
_LOOK_SECONDS: Final = 0.5


class Overdue:
    """A thread that waits for a stop to be late, then has all handed back and ends the process.

    The threads whose pairs they are may still be at work, in a call that nothing ends: `hand_back` takes the
    pairs from under them, and must not raise.
    """

    def __init__(self, stopping: Stopping, hand_back: Callable[[], None]) -> None:
        self._stopping = stopping
        self._hand_back = hand_back
        self._late_from = time.monotonic()
        self._looks = Repeating("overdue", self._look, every_seconds=_LOOK_SECONDS)

    def start(self) -> None:
        self._looks.start()

    def stop(self) -> None:
        """Nothing is in hand any more: what the process still does, it may take its time for."""
        self._looks.stop(timeout_seconds=0)

    def _look(self) -> None:
        now = time.monotonic()
        if self._stopping.seconds_left > 0:
            self._late_from = now
        elif now - self._late_from >= LATE_SECONDS:
            self._hand_back()
            log.warning("worker.overdue", late_seconds=round(now - self._late_from))
            # As after a polite stop, nothing is left to mend.
            os._exit(0)
