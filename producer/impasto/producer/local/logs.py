"""What children say: into a file of bounded size each, and on to whoever watches."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Final

_LARGEST_LOG_BYTES: Final = 10 * 2**20
_OLD_LOGS: Final = 3
_LONGEST_LINE_BYTES: Final = 64 * 2**10

Echo = Callable[[str, str], None]
"""Called with a child's name and one line of what it wrote, from that child's own thread."""


class ChildLog:
    """One child's log: `<folder>/<name>.log`, the older ones numbered. Outlives the child's restarts."""

    def __init__(self, folder: Path, name: str, echo: Echo) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.log"
        self._name = name
        self._echo = echo
        self._file = RotatingFileHandler(
            self.path, maxBytes=_LARGEST_LOG_BYTES, backupCount=_OLD_LOGS, encoding="utf-8", delay=True
        )
        self._last: deque[str] = deque(maxlen=20)
        self._reader: threading.Thread | None = None

    def follow(self, pipe: IO[bytes]) -> None:
        """Keep and pass on every line of the pipe until it closes."""
        self._reader = threading.Thread(
            target=self._pump, args=(pipe,), name=f"log of {self._name}", daemon=True
        )
        self._reader.start()

    def last_line(self) -> str:
        """The last line that says something; empty when there is none."""
        return next((line.strip() for line in reversed(self._last) if line.strip()), "")

    def settle(self) -> None:
        """Take in what a child that has ended said to its end."""
        if self._reader is not None:
            # A grandchild may hold the pipe open for ever.
            self._reader.join(timeout=1.0)

    def close(self) -> None:
        """Settle, and let the file go."""
        self.settle()
        self._file.close()

    def _pump(self, pipe: IO[bytes]) -> None:
        with pipe:
            for raw in iter(lambda: pipe.readline(_LONGEST_LINE_BYTES), b""):
                line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
                self._last.append(line)
                self._file.emit(logging.makeLogRecord({"msg": line}))
                self._echo(self._name, line)
