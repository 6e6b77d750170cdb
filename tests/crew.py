"""Workers that are started again when they end, as a supervisor does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stage import Stage
from workers import WorkerProcess


class Crew:
    """`count` workers without an engine; a context manager that ends those that live by SIGKILL."""

    def __init__(
        self, stage: Stage, folder: Path, count: int, *, seconds: float, steps: int, **extra: str
    ) -> None:
        self._stage = stage
        self._folder = folder
        self._count = count
        self._pace: dict[str, Any] = {"seconds": seconds, "steps": steps, **extra}
        self._numbers = itertools.count()
        self.workers: list[WorkerProcess] = []
        self.ended: list[WorkerProcess] = []
        """Those that ended, in order."""

    def mend(self) -> None:
        """Start a new one for each that ended."""
        for worker in [worker for worker in self.workers if not worker.alive]:
            self.workers.remove(worker)
            self.ended.append(worker)
        while len(self.workers) < self._count:
            log = self._folder / f"crew-{next(self._numbers)}.log"
            self.workers.append(self._stage.noop_worker(log, **self._pace).start())

    def watch_until(self, check: Callable[[], bool], *, seconds: float = 120.0, what: str = "that") -> None:
        """Mend until the check holds, and fail by name if it never does."""
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
            self.mend()
            time.sleep(0.1)

    def __enter__(self) -> Self:
        self.mend()
        for worker in self.workers:
            worker.ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.kill()
