"""Real `impasto beat` processes for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from workers import eventually


@dataclass
class BeatProcess:
    """One whose standby takes over within seconds; a context manager that ends it by SIGKILL."""

    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "impasto.producer.cli", "beat"],
                env={**os.environ, "IMPASTO_BEAT_LOCK_SECONDS": "3", **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        """How it ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        return self.process.wait(30)

    @property
    def leads(self) -> bool:
        return '"beat.leads"' in self.log.read_text()

    def started(self) -> Self:
        """Wait until it stands by, or leads."""
        eventually(lambda: '"beat.stands_by"' in self.log.read_text(), what="the beat")
        return self
