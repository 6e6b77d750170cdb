"""Inputs where they lie: in the store, in S3, in folders; only those allowed, bounded and verified."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from impasto.shared.deployment import Deployment
from impasto.shared.errors import (
    BadPicture,
    BadSettings,
    InputRefused,
    ObjectMissing,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.jobs import InputRef
from impasto.shared.printable import printable
from impasto.shared.store.interface import ObjectInfo, ObjectStore
from impasto.shared.store.keys import checked_key
from impasto.shared.store.open import file_path
from impasto.shared.store.s3_access import S3Access

if TYPE_CHECKING:
    from impasto.shared.store.s3_bucket import S3Bucket

STORE_FOLDERS: Final = ("inputs", "outputs")
"""Where in the store an input may lie: uploads, and results that are to be restyled."""

_MEND: Final = "move it there, or add its folder to IMPASTO_INPUT_PREFIXES"


def open_input_reader(deployment: Deployment, store: ObjectStore, *, threads: int = 16) -> InputReader:
    """The deployment's reader. Raises BadSettings for a prefix that is no place, or half a key for S3."""
    s3 = S3Access(
        deployment.s3_endpoint_url,
        deployment.s3_region,
        deployment.s3_access_key_id,
        deployment.s3_secret_access_key,
        threads=threads,
    )
    return InputReader(
        store,
        allowed_prefixes=deployment.input_prefixes,
        limit_bytes=deployment.max_input_bytes,
        s3=s3,
    )


class InputReader:
    """Reads inputs by address: `store:<key>`, `s3://bucket/key` or `file:///path`. Safe to share by threads.

    Allowed are `inputs/` and `outputs/` of the store, the whole of its own bucket or folder, and what lies
    under one of `allowed_prefixes`: `s3://bucket`, `s3://bucket/folder`, `file:///folder`. A prefix ends
    where a part of the path does: `s3://bucket/a` does not allow `s3://bucket/ab`. Of files, links and `..`
    are followed first; keys with `..` are refused.

    Other buckets are reached as the store's own; where that is a folder, by `s3` or else by boto3's own
    search. Raises BadSettings for a prefix that is neither.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        allowed_prefixes: Sequence[str] = (),
        limit_bytes: int,
        s3: S3Access | None = None,
    ) -> None:
        self._store = store
        self._limit_bytes = limit_bytes
        self._s3 = s3
        self._objects: list[str] = []
        self._folders: list[Path] = []
        own = f"s3://{_bucket_name(store.url)}" if store.url.startswith("s3://") else store.url
        for prefix in (own, *allowed_prefixes):
            if prefix.startswith("s3://") and _bucket_name(prefix):
                self._objects.append(prefix.rstrip("/"))
            elif prefix.startswith("file:"):
                self._folders.append(file_path(prefix).resolve())
            elif prefix != own:
                raise BadSettings(
                    f"IMPASTO_INPUT_PREFIXES: '{printable(prefix)}' is no place of inputs: "
                    "write s3://bucket/folder or file:///folder"
                )

    def read(self, ref: InputRef) -> bytes:
        """The input's bytes, at most the limit; those of `ref.sha256` where it is given.

        Raises InputRefused when it is not allowed, not there or not what was submitted, BadPicture when it is
        too large, and the store's own errors; each names the input.
        """
        with self._named(ref.uri, ref.name):
            source, key = self._locate(ref.uri)
            data = source.get(key, limit_bytes=self._limit_bytes)
        if ref.sha256 is not None and hashlib.sha256(data).hexdigest() != ref.sha256:
            raise InputRefused(
                f"input {_both(ref.uri, ref.name)} has changed since it was submitted: submit it again"
            )
        return data

    def head(self, uri: str) -> ObjectInfo:
        """Size and what else is known, with the address as the key. Raises as `read` does."""
        with self._named(uri, uri):
            source, key = self._locate(uri)
            info = source.head(key)
            if info is None:
                raise ObjectMissing(uri)
        return replace(info, key=uri)

    def list(self, url: str) -> Iterator[tuple[str, int]]:
        """Address and size in bytes of every object below `url`; of `url` alone if it is one.

        For `s3://bucket/folder` and `store:inputs/…`; raises as `read` does. A folder without objects lists
        nothing.
        """
        return ((info.key, info.size_bytes) for info in self.objects(url))

    def objects(self, url: str) -> Iterator[ObjectInfo]:
        """The same with all that a listing tells, the address as the key."""
        scheme = url[: url.index(":") + 1] if ":" in url else ""
        if scheme not in ("s3:", "store:"):
            raise InputRefused(f"{printable(url)} can't be listed: give s3://bucket/folder or store:inputs/…")
        with self._named(url, url):
            source, key = self._locate(url, folder=True)
            whole = source.head(key) if key and not key.endswith("/") else None
            if whole is not None:
                yield replace(whole, key=url)
                return
            folder = f"{key.rstrip('/')}/" if key else ""
            base = url.removesuffix(key) if key else f"{url.rstrip('/')}/"
            for found in source.list(folder):
                # Consoles make "folders" visible by empty objects.
                if not found.key.endswith("/"):
                    yield replace(found, key=f"{base}{found.key}")

    def _locate(self, uri: str, *, folder: bool = False) -> tuple[_Source, str]:
        """Where an allowed address lies, and its key there. Raises InputRefused."""
        if uri.startswith("store:"):
            key = uri.removeprefix("store:")
            try:
                checked_key(key.rstrip("/") if folder else key)
            except StoreRefused as error:
                raise InputRefused(str(error)) from error
            if key.split("/")[0] not in STORE_FOLDERS:
                raise InputRefused(f"it lies in the store, but not in {' or '.join(STORE_FOLDERS)}")
            return self._store, key
        if uri.startswith("s3://"):
            name, _, key = uri.removeprefix("s3://").partition("/")
            if not name or (not key and not folder) or {".", ".."} & set(key.split("/")):
                raise InputRefused("it names no object: write s3://bucket/key, without dots as parts")
            if not any(uri.rstrip("/") == p or uri.startswith(f"{p}/") for p in self._objects):
                raise InputRefused(f"it lies outside the places that inputs may come from: {_MEND}")
            return self._bucket(name), key
        if uri.startswith("file:"):
            try:
                path = file_path(uri).resolve()
            except (BadSettings, OSError, RuntimeError) as error:
                raise InputRefused("it names no file: write file:///folder/name") from error
            if not any(path.is_relative_to(folder) for folder in self._folders):
                raise InputRefused(f"it lies outside the places that inputs may come from: {_MEND}")
            return _FILES, str(path)
        raise InputRefused(
            "such addresses are not read: upload it, or put it into one of IMPASTO_INPUT_PREFIXES"
        )

    def _bucket(self, name: str) -> S3Bucket:
        # Only whoever has inputs in S3 pays for loading boto3.
        from impasto.shared.store.s3 import S3Store
        from impasto.shared.store.s3_bucket import S3Bucket

        if isinstance(self._store, S3Store):
            if name == self._store.bucket.name:
                return self._store.bucket
            return S3Bucket(self._store.access, name)
        return S3Bucket(self._s3 or _default_access(), name)

    @contextmanager
    def _named(self, uri: str, name: str) -> Iterator[None]:
        """Errors that name the input; what only a foreign place refuses is the input's fault."""
        try:
            yield
        except InputRefused as error:
            raise InputRefused(f"input {_both(uri, name)} is refused: {error}") from error
        except ObjectMissing as error:
            raise InputRefused(
                f"input {_both(uri, name)} does not exist: put it there or leave it out"
            ) from error
        except BadPicture as error:
            raise BadPicture(
                f"input {_both(uri, name)} has more than {self._limit_bytes:,} bytes: "
                "make it smaller or raise IMPASTO_MAX_INPUT_BYTES"
            ) from error
        except StoreRefused as error:
            if self._is_own(uri):
                raise
            raise InputRefused(f"input {_both(uri, name)} can't be read: {error}") from error

    def _is_own(self, uri: str) -> bool:
        return uri.startswith("store:") or f"{uri}/".startswith(f"s3://{_bucket_name(self._store.url)}/")


class _Source(Protocol):
    """What inputs are read from: the store, a bucket, or files."""

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes: ...

    def head(self, key: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]: ...


class _Files:
    """Files by absolute path, as a source."""

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        with _file_errors(key):
            # A pipe would be waited for, and a link made since the path was resolved would be followed.
            descriptor = os.open(key, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise InputRefused("it is no regular file")
                if limit_bytes is not None and found.st_size > limit_bytes:
                    raise BadPicture(f"{found.st_size:,} bytes")
                return file.read()

    def head(self, key: str) -> ObjectInfo | None:
        with _file_errors(key):
            found = Path(key).stat()
            if not stat.S_ISREG(found.st_mode):
                raise InputRefused("it is no regular file")
            return ObjectInfo(key, found.st_size)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        raise InputRefused(f"{printable(prefix)} is a folder: list it as one")


_FILES: Final = _Files()


@contextmanager
def _file_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectMissing(path) from error
    except IsADirectoryError as error:
        raise InputRefused("it is no regular file") from error
    except OSError as error:
        what = f"{printable(path)}: {error.strerror or error}"
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG):
            raise InputRefused(f"{what}; give the worker's user the right to read it") from error
        raise StoreUnavailable(what) from error


@cache
def _default_access() -> S3Access:
    return S3Access()


def _bucket_name(url: str) -> str:
    return url.removeprefix("s3://").partition("/")[0] if url.startswith("s3://") else ""


def _both(uri: str, name: str) -> str:
    """The name that people know, and the address unless it is the same."""
    return printable(uri) if name == uri else f"'{printable(name)}' ({printable(uri)})"
