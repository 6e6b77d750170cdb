"""Ctrl-C and its kin as a question to ask, instead of an exception anywhere."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any, Final, Self

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ECHO_SECONDS: Final = 0.5


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP only set flags: the first asks to stop, the next to hurry.

    A second one within half a second is taken for the same wish: wrappers such as `make` pass on what the
    terminal has sent already. Plain attributes, since a lock in a handler can deadlock with its own thread.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        self._hurry = False
        self._before: dict[signal.Signals, Any] = {}

    def stopping(self) -> bool:
        """Whether anyone asked to stop."""
        return self._first is not None

    def hurry(self) -> bool:
        """Whether anyone asked again."""
        return self._hurry

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
        elif now - self._first > _ECHO_SECONDS:
            self._hurry = True

    def __enter__(self) -> Self:
        for number in _STOPPING:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
