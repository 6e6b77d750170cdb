"""What is remembered of files that were read before, so that a collection is read and decoded once.

A small SQLite file in the deployment's state folder. It is only ever a shortcut: where it can't be opened,
written or trusted, files are read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from PIL import __version__ as PILLOW_VERSION

MAX_FILES: Final = 1_000_000
"""How many files are remembered; those not seen for longest go first."""

MARGIN_SECONDS: Final = 2.0
"""A file changed this shortly before it was read may change again under the same time: it is not remembered.
The coarsest clocks of file systems (FAT's) tick so slowly."""

_FLUSH_FILES: Final = 64
_FLUSH_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 5.0
_DAY_SECONDS: Final = 86_400

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    format TEXT NOT NULL,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    is_mask INTEGER NOT NULL,
    judged_by INTEGER NOT NULL,
    seen_day INTEGER NOT NULL
) WITHOUT ROWID
"""
_FIND: Final = "SELECT * FROM files WHERE path = ?"
_KEEP: Final = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM files WHERE path = ?"
_TRIM: Final = "DELETE FROM files WHERE path IN (SELECT path FROM files ORDER BY seen_day LIMIT ?)"


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as `stat` shows it. Whoever writes into a file, or puts another in its place, changes it."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that was read and is a picture: digest, name of its format, (width, height) in pixels, upright.

    `is_mask`: it was also found to be a mask for a content of that size.
    """

    sha256: str
    format: str
    size_px: tuple[int, int]
    is_mask: bool = False


class KnownFiles:
    """Files by absolute path. Safe to share between threads, and between processes of one machine.

    A context manager, that may be entered again: at its end what is new is on the disk. The file is made at
    the first use. No trouble with it is ever raised.
    """

    def __init__(self, path: Path, *, max_files: int = MAX_FILES) -> None:
        self._path = path
        self._max_files = max_files
        self._lock = threading.Lock()
        self._pending: dict[bytes, tuple[Any, ...]] = {}
        self._flushed_at = time.monotonic()
        self._today = int(time.time() // _DAY_SECONDS)
        self._connection: sqlite3.Connection | None = None
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find(self, path: Path, state: FileState) -> KnownFile | None:
        """What is known of the file, if it is still as it was when it was read."""
        key = _key(path)
        with self._lock:
            row = self._pending.get(key) or self._do(lambda found: found.execute(_FIND, (key,)).fetchone())
            if row is None:
                return None
            _, *seen, sha256, format, width_px, height_px, is_mask, judged_by, day = row
            if FileState(*seen) != state or judged_by != _judge():
                return None
            if day != self._today:
                self._write((*row[:-1], self._today))
        return KnownFile(sha256.hex(), format, (width_px, height_px), bool(is_mask))

    def keep(self, path: Path, state: FileState, read_at: float, known: KnownFile) -> None:
        """Remember the file. `read_at`: when its reading began, in seconds since the epoch.

        `state` is that of before and after the reading. Nothing when it was changed so shortly before that
        a later change might not show.
        """
        if state.mtime_ns > (read_at - MARGIN_SECONDS) * 1e9:
            return
        row = (
            _key(path),
            state.size_bytes,
            state.mtime_ns,
            state.ctime_ns,
            state.inode,
            bytes.fromhex(known.sha256),
            known.format,
            *known.size_px,
            known.is_mask,
            _judge(),
            self._today,
        )
        with self._lock:
            self._write(row)

    def forget(self, path: Path) -> None:
        """Read the file the next time."""
        key = _key(path)
        with self._lock:
            self._pending.pop(key, None)
            self._do(lambda known: known.execute(_FORGET, (key,)))

    def close(self) -> None:
        """Write what is new, drop what is too much. A later use opens it again."""
        with self._lock:
            self._flush()
            if self._is_open:
                self._do(self._trim)
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._is_open = False

    def _write(self, row: tuple[Any, ...]) -> None:
        self._pending[row[0]] = row
        if len(self._pending) >= _FLUSH_FILES or time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        """In one transaction: one a file would wait for the disk each time."""
        rows, self._pending = list(self._pending.values()), {}
        self._flushed_at = time.monotonic()
        if rows:
            self._do(lambda known: known.executemany(_KEEP, rows))

    def _trim(self, known: sqlite3.Connection) -> None:
        (count,) = known.execute("SELECT count(*) FROM files").fetchone()
        if count > self._max_files:
            known.execute(_TRIM, (count - self._max_files,))

    def _do(self, act: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
        """In a transaction of its own; None when there is nothing to ask, or no longer."""
        if not self._is_open:
            self._connection, self._is_open = _open(self._path), True
        if self._connection is None:
            return None
        try:
            with self._connection:
                return act(self._connection)
        except sqlite3.Error as error:
            self._connection.close()
            self._connection = None
            _remove_if_damaged(self._path, error)
            return None


@cache
def _judge() -> int:
    """Who says that a file is a picture: another Pillow may say otherwise."""
    versions = [PILLOW_VERSION]
    for package in ("impasto", "pillow-heif"):
        with contextlib.suppress(PackageNotFoundError):
            versions.append(version(package))
    return zlib.crc32(" ".join(versions).encode())


def _key(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 (a link by its own name: it may come to point elsewhere)


def _open(path: Path) -> sqlite3.Connection | None:
    """None where there can be no such file. What is damaged is begun anew."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Paths are nobody else's business.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
        except (OSError, sqlite3.Error):
            return None
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
        except sqlite3.Error as error:
            connection.close()
            if not _remove_if_damaged(path, error):
                return None
        else:
            return connection
    return None


def _remove_if_damaged(path: Path, error: sqlite3.Error) -> bool:
    if isinstance(error, sqlite3.OperationalError) or not isinstance(error, sqlite3.DatabaseError):
        return False
    with contextlib.suppress(OSError):
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        return True
    return False
