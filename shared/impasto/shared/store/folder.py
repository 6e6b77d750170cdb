"""A folder as the store: each object a file, what a file can't carry in a sidecar under `.meta`."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from impasto.shared.errors import (
    BadPicture,
    ImpastoError,
    ObjectMissing,
    StoreExhausted,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.printable import printable
from impasto.shared.store.interface import ObjectInfo
from impasto.shared.store.keys import checked_key, checked_prefix
from impasto.shared.store.metadata import from_wire, to_wire

_SIDECARS: Final = ".meta"
_TEMPORARY: Final = ".tmp-"
_TEMPORARY_NAME: Final = re.compile(r"\.tmp-[0-9a-f]{16}")
_ABANDONED_SECONDS: Final = 24 * 3600
_REFUSALS: Final = {
    errno.EACCES: "give this user the right to read and write it, or correct IMPASTO_STORE_URL",
    errno.EPERM: "give this user the right to read and write it, or correct IMPASTO_STORE_URL",
    errno.EROFS: "mount it writable, or correct IMPASTO_STORE_URL",
    errno.EEXIST: "a file and a folder can't have one name",
    errno.ENOTDIR: "a file and a folder can't have one name",
    errno.EISDIR: "a file and a folder can't have one name",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EILSEQ: "its file system takes no such name",
    errno.EINVAL: "its file system takes no such name",
    errno.ELOOP: "its symbolic links go in a circle",
}
"""What won't pass by waiting. All else may: a full disk is emptied, a network file system comes back."""
_NO_LINKS: Final = frozenset(
    (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)
)
"""Where a file can't have a second name."""


class FolderStore:
    """Objects as files under `root`, put by rename so that no reader ever sees half of one.

    An object is on the disk, not only in its cache, when `put` returns. Its sidecar is written after it and
    names the size and time of the file it belongs to: of a torn pair, the object counts and the metadata is
    unknown. So is that of what was put in the last seconds before a power cut: waiting for the disk is most
    of what a put takes, and the sidecars would double it.

    The sidecars' folder is made by the first put or check, and marks the root as a store ever after: where it
    was seen and is gone, the disk was unmounted, and everything raises StoreUnavailable. So does `get` in a
    root that is empty, which nobody could expect an object of.

    A put that is killed leaves its unfinished files, under names that no key has. Listings, which see them
    anyway, remove those that are older than a day.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 (resolve() would follow links, absolute() keeps `..`)
        self._sidecars = self._root / _SIDECARS
        self._seen = False

    def __repr__(self) -> str:
        return f"FolderStore({str(self._root)!r})"

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self._root

    @property
    def url(self) -> str:
        return self._root.as_uri().rstrip("/")

    def put(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        self._put(key, data, content_type, metadata, replace=True)

    def put_if_absent(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        with self._translated(key):
            if _stat(self._file(key)) is not None:
                return False
        return self._put(key, data, content_type, metadata, replace=False)

    def copy(self, source: str, target: str) -> None:
        """As a hard link where the file system knows them: no put ever writes into a file that has a name."""
        origin, file = self._file(source), self._file(target)
        with self._translated(source):
            if _stat(origin) is None:
                raise self._missing(source)
            if source == target:
                return
            self._claim()
            self._make_folder(file.parent)
            try:
                with _second_name(origin, file.parent) as (whole, found):
                    info = self._described_by_now(source, found)
                    self._give_name(
                        target, whole, found, info.content_type, to_wire(info.metadata, key=target)
                    )
            except FileNotFoundError as error:
                raise self._missing(source) from error

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        path = self._file(key)
        with self._translated(key):
            try:
                with path.open("rb") as file:
                    size_bytes = os.fstat(file.fileno()).st_size
                    if limit_bytes is not None and size_bytes > limit_bytes:
                        raise BadPicture(
                            f"'{printable(key)}' has {size_bytes:,} bytes, "
                            f"more than the {limit_bytes:,} allowed"
                        )
                    return file.read()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise self._missing(key) from error

    def head(self, key: str) -> ObjectInfo | None:
        file = self._file(key)
        with self._translated(key):
            found = _stat(file)
            if found is None:
                self._prove()
                return None
            described = self._described(key, found)
            if described is None:
                # Perhaps a put is between its two renames: behind the lock it is over.
                with self._locked(make=False):
                    found = _stat(file)
                    if found is None:
                        return None
                    described = self._described(key, found)
        return described or _undescribed(key, found)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, start = checked_prefix(prefix).rpartition("/")
        with self._translated(prefix):
            self._prove()
            yield from self._walk(self._root / folder, f"{folder}/" if folder else "", start)
            # Gone meanwhile, it would pass for one that ends here.
            self._prove()

    def delete(self, key: str) -> None:
        file = self._file(key)
        with self._translated(key):
            if _stat(file) is None:
                self._prove()
                return
            self._claim()
            with self._locked(make=True):
                file.unlink(missing_ok=True)
                self._sidecar(key).unlink(missing_ok=True)

    def check(self) -> None:
        key, data = f"checks/{uuid.uuid4()}", b"impasto"
        self.put(key, data, content_type="application/octet-stream")
        if self.get(key) != data:
            raise StoreUnavailable(f"{self.url} gave back other bytes than were put: check its disk")
        self.delete(key)

    def _file(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _sidecar(self, key: str) -> Path:
        return self._sidecars / f"{key}.json"

    def _claim(self) -> None:
        """Before anything is written: the root is the store that it was, or from now on one."""
        self._prove()
        if not self._seen:
            self._sidecars.mkdir(parents=True, exist_ok=True)
            self._seen = True

    def _prove(self) -> None:
        """Raises StoreUnavailable when the root was a store and is none now."""
        # Asked first: a thread beside this one may make it a store between the two.
        seen = self._seen
        if self._sidecars.is_dir():
            self._seen = True
        elif seen:
            raise self._gone()

    def _missing(self, key: str) -> ImpastoError:
        """Why there is no such object: raises StoreUnavailable when there is nothing at all."""
        self._prove()
        try:
            with os.scandir(self._root) as entries:
                empty = next(entries, None) is None
        except FileNotFoundError:
            empty = True
        return self._gone() if empty else ObjectMissing(f"{self.url} has no object '{printable(key)}'")

    def _gone(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"nothing is left of the store {self.url}: is its disk mounted, and is IMPASTO_STORE_URL right?"
        )

    def _make_folder(self, folder: Path) -> None:
        """The folder of an object or a sidecar, but neither the root nor the sidecars' own: where they went
        since they were proven, whatever is written would lie beneath the disk that was unmounted."""
        if folder in (self._root, self._sidecars):
            return
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)

    def _put(
        self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None, *, replace: bool
    ) -> bool:
        file = self._file(key)
        wire = to_wire(metadata, key=key)
        with self._translated(key):
            self._claim()
            self._make_folder(file.parent)
            with _temporary(file.parent, data) as (whole, written):
                return self._give_name(key, whole, written, content_type, wire, replace=replace)

    def _give_name(
        self,
        key: str,
        whole: Path,
        written: os.stat_result,
        content_type: str,
        wire: Mapping[str, str],
        *,
        replace: bool = True,
    ) -> bool:
        """The whole file becomes the object, with a sidecar; whether it did, where another may stay."""
        file, sidecar = self._file(key), self._sidecar(key)
        self._make_folder(sidecar.parent)
        described = {
            "size_bytes": written.st_size,
            "mtime_ns": written.st_mtime_ns,
            "content_type": content_type,
            "metadata": wire,
        }
        # Without the lock, two puts could end with the one's object beside the other's sidecar.
        with (
            _temporary(sidecar.parent, json.dumps(described).encode(), sync=False) as (whole_sidecar, _),
            self._locked(make=True),
        ):
            if replace:
                whole.replace(file)
            elif not _link_unless_there(whole, file):
                return False
            whole_sidecar.replace(sidecar)
        _sync_folder(file.parent)
        return True

    def _described_by_now(self, key: str, found: os.stat_result) -> ObjectInfo:
        """The same of a file that may have been put a moment ago, or been replaced since."""
        described = self._described(key, found)
        if described is None:
            with self._locked(make=False):
                described = self._described(key, found)
        return described or _undescribed(key, found)

    def _described(self, key: str, found: os.stat_result) -> ObjectInfo | None:
        """What the sidecar says, if it speaks of this very file."""
        try:
            sidecar: dict[str, Any] = json.loads(self._sidecar(key).read_bytes())
            if (sidecar["size_bytes"], sidecar["mtime_ns"]) != (found.st_size, found.st_mtime_ns):
                return None
            return replace(
                _undescribed(key, found),
                content_type=sidecar["content_type"],
                metadata=from_wire(sidecar["metadata"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _walk(self, folder: Path, base: str, start: str) -> Iterator[ObjectInfo]:
        """Objects whose keys are `base`, then a name in `folder` that starts so, and those below."""
        try:
            with os.scandir(folder) as entries:
                visible, temporary = [], []
                for entry in entries:
                    if not entry.name.startswith("."):
                        visible.append(entry)
                    elif _TEMPORARY_NAME.fullmatch(entry.name):
                        temporary.append(entry)
                named = [
                    (f"{entry.name}/" if entry.is_dir() else entry.name, entry)
                    for entry in visible
                    if entry.name.startswith(start)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return
        if [entry for entry in temporary if _removed_if_abandoned(Path(entry.path))]:
            for path in (self._sidecars / base).glob(f"{_TEMPORARY}*"):
                _removed_if_abandoned(path)
        # With its slash a folder sorts among the files just as its keys do.
        for name, entry in sorted(named, key=lambda pair: pair[0]):
            if not name.isprintable():
                continue
            if name.endswith("/"):
                if not entry.is_symlink():
                    yield from self._walk(folder / entry.name, base + name, "")
            elif (found := _stat(Path(entry.path))) is not None:
                yield _undescribed(base + name, found)

    @contextmanager
    def _locked(self, *, make: bool) -> Iterator[None]:
        """Alone among all processes that write here; held for two renames, never for a write.

        Where the file system knows no locks, each rename is still atomic, and a torn pair is noticed.
        """
        path = self._sidecars / ".lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT if make else os.O_RDONLY, 0o666)
        except OSError:
            if make:
                raise
            yield
            return
        try:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX if make else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except ImpastoError:
            raise
        except OSError as error:
            what = f"the store {self.url} failed at '{printable(key)}': {error.strerror or error}"
            if error.errno in _REFUSALS:
                raise StoreRefused(f"{what}; {_REFUSALS[error.errno]}") from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreExhausted(f"{what}; make room there") from error
            raise StoreUnavailable(what) from error


def _stat(file: Path) -> os.stat_result | None:
    """None when there is no regular file."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _removed_if_abandoned(temporary: Path) -> bool:
    # Its links are what changed last: what it shares with the origin of a copy may be as old as that.
    with suppress(OSError):
        if time.time() - temporary.lstat().st_ctime > _ABANDONED_SECONDS:
            temporary.unlink()
            return True
    return False


def _undescribed(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, stamp=str(found.st_mtime_ns))


@contextmanager
def _second_name(origin: Path, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The file under a name in `folder` that no key has, by a hard link or else a copy; gone afterwards."""
    path = folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        os.link(os.path.realpath(origin), path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with _temporary(folder, origin.read_bytes()) as copied:
            yield copied
        return
    try:
        yield path, path.stat()
    finally:
        # Also after a rename: of two links to one file it leaves both.
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def _temporary(folder: Path, data: bytes, *, sync: bool = True) -> Iterator[tuple[Path, os.stat_result]]:
    """A file of the data in `folder`, on disk if `sync`, under a name that no key has; gone afterwards."""
    path = folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            written = os.fstat(file.fileno())
        yield path, written
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _link_unless_there(whole: Path, file: Path) -> bool:
    """Give the whole file its name unless the name is taken; whether it was free."""
    try:
        os.link(whole, file)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here: the lock alone must do.
        if file.exists():
            return False
        whole.replace(file)
    return True


def _sync_folder(folder: Path) -> None:
    """A rename outlives a power cut only once its folder is on the disk too."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
