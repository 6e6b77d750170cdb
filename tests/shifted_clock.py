"""Runs a program whose wall clock goes wrong: `python shifted_clock.py PROGRAM ARGUMENT …`.

How many seconds it is ahead stands in the file that `CLOCK_AHEAD` names, and may be changed while the program
runs. Monotonic clocks go on as they are, as they do when a machine's clock is set.
"""

from __future__ import annotations

import datetime
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

CLOCK_AHEAD: Final = "CLOCK_AHEAD"

_real_datetime = datetime.datetime


def ahead_seconds() -> float:
    """What the file says now; 0 when there is none."""
    try:
        return float(Path(os.environ[CLOCK_AHEAD]).read_text())
    except (OSError, KeyError, ValueError):
        return 0.0


class _Kind(type):
    """What was made before, or in C, is a time as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _real_datetime)


class _ShiftedDatetime(_real_datetime, metaclass=_Kind):
    """Tells the wrong time, and is the real class in all else."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _real_datetime.now(tz) + datetime.timedelta(seconds=ahead_seconds())

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


def _shifted(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + ahead_seconds()


def _shifted_parts(parts: Callable[[float], time.struct_time]) -> Callable[..., time.struct_time]:
    return lambda seconds=None: parts(time.time() if seconds is None else seconds)


def shift() -> None:
    """From now on every wall clock of this process is shifted."""
    nanoseconds = time.time_ns
    time.time = _shifted(time.time)
    time.time_ns = lambda: nanoseconds() + int(ahead_seconds() * 1e9)
    time.gmtime = _shifted_parts(time.gmtime)
    time.localtime = _shifted_parts(time.localtime)
    datetime.datetime = _ShiftedDatetime  # type: ignore[misc]


if __name__ == "__main__":
    del sys.argv[0]
    shift()
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
