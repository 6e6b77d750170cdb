"""Telling processes apart for as long as a machine is up: a pid alone may be anybody's by now."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


def born(pid: int) -> str | None:
    """When the process began, as text to compare and no more; None when there is no such process.

    Clock ticks since boot where the kernel has /proc, the date that `ps` prints elsewhere. A process that
    ended and was not waited for yet counts as gone.
    """
    if pid <= 0:
        return None
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    ps = shutil.which("ps")
    if ps is None:
        return None
    command = [ps, "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    state, _, since = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else " ".join(since.split())


def end_leftovers(marks: Sequence[tuple[int, str]], *, patience_seconds: float = 10.0) -> list[int]:
    """End the process groups whose leaders are still those that were marked, politely first.

    `marks` are (pid, `born(pid)` at that time). Which pids were ended.
    """
    alive = [pid for pid, since in marks if born(pid) == since]
    _signal_groups(alive, signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    remaining = alive
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = [pid for pid in remaining if born(pid) is not None]
    _signal_groups(remaining, signal.SIGKILL)
    while any(born(pid) is not None for pid in remaining):
        time.sleep(0.02)
    return alive


def _signal_groups(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
