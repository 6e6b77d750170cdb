"""Real worker processes for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

START_SECONDS: Final = 90.0

EAGER: Final = {
    "IMPASTO_LEASE_SECONDS": "2",
    "IMPASTO_HEART_SECONDS": "0.3",
    "IMPASTO_SWEEP_SECONDS": "0.5",
    "IMPASTO_RETRY_BASE_SECONDS": "0.2",
    "IMPASTO_GRACE_SECONDS": "1",
    "IMPASTO_THREADS": "1",
}
"""The defaults are for nights; a test does not wait for them."""

ANEW: Final = {"IMPASTO_REUSE_RESULTS": "false"}
"""Each test has its pairs made, whatever earlier ones had made of the same pictures in a store they share."""


def eventually(check: Callable[[], bool], *, seconds: float = 60.0, what: str = "that") -> None:
    """Wait until the check holds, and fail by name if it never does."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.05)


WORKER: Final = ("-m", "impasto.worker")
NOOP_WORKER: Final = (str(Path(__file__).with_name("noop_worker.py")),)
"""The same but for its engine, which gives the content back; see there."""


@dataclass
class WorkerProcess:
    """`python -m impasto.worker run` with its log in `log`; a context manager that ends it by SIGKILL."""

    environment: dict[str, str]
    log: Path
    extra: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = WORKER
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def start(self) -> Self:
        """Start it; `ready` waits."""
        ours = {"OMP_NUM_THREADS": "1", **EAGER, **ANEW}
        environment = {**os.environ, **ours, **self.environment, **self.extra}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.program, "run", "--device", "cpu"],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        return self

    def ready(self) -> Self:
        """Wait until it takes messages."""
        eventually(
            lambda: self.has("worker.ready") or not self.alive, seconds=START_SECONDS, what="the worker"
        )
        assert self.alive, self.log.read_text()[-3000:]
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What it logged, of one event or all."""
        lines = (line for line in self.log.read_text().splitlines() if line.startswith("{"))
        records = [json.loads(line) for line in lines]
        return [record for record in records if name is None or record.get("event") == name]

    def has(self, name: str) -> bool:
        return bool(self.events(name))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None and self.alive:
            self.send(signal.SIGKILL)
            self.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
