"""Whether the pair that computes still comes along: a call that never returns ends the process.

Its lease would be renewed for ever otherwise, since the heart lives, and its batch would never end.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

import structlog

from impasto.worker.station import EXIT_BROKEN

log = structlog.get_logger()

_INTERVALS: Final = 20
"""So many times its slowest step a pair may be silent, however long that is."""


@dataclass(frozen=True)
class _Computing:
    """The pair that computes: when it was last heard of, and its slowest step so far."""

    batch: str
    pair: int
    heard_at: float
    slowest_seconds: float = 0.0


class StepWatch:
    """Told by the thread that computes, and by no other; looked at by another one."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self._computing: _Computing | None = None

    def begin(self, batch: str, pair: int) -> None:
        """That pair computes from now on; what it does before its first step counts as silence too."""
        self._computing = _Computing(batch, pair, time.monotonic())

    def step(self) -> None:
        """It made a step."""
        if (last := self._computing) is not None:
            now = time.monotonic()
            slowest_seconds = max(last.slowest_seconds, now - last.heard_at)
            self._computing = _Computing(last.batch, last.pair, now, slowest_seconds)

    def end(self) -> None:
        """Nothing computes."""
        self._computing = None

    def look(self) -> None:
        """End the process if the pair that computes has hung: it dies of this pair, and others go on."""
        computing = self._computing
        if computing is None:
            return
        silent_seconds = time.monotonic() - computing.heard_at
        if silent_seconds > max(self._hang_seconds, _INTERVALS * computing.slowest_seconds):
            log.critical(
                "pair.hung",
                batch=computing.batch,
                pair=computing.pair,
                silent_seconds=round(silent_seconds),
                mend="if its steps really take so long, raise IMPASTO_HANG_SECONDS",
                exit_code=EXIT_BROKEN,
            )
            # Nobody can end a thread that does not return.
            os._exit(EXIT_BROKEN)
