"""Where a gallery's files go: a folder, or the store beside the batch's other files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from impasto.shared import layout
from impasto.shared.deployment import mask_url
from impasto.shared.errors import BadSettings, ObjectMissing
from impasto.shared.store import ObjectStore
from impasto.shared.store.folder import FolderStore

ASSETS: Final = "assets/"
"""What the names of all files of a gallery start with, but its page's."""


class Place(Protocol):
    """Files by names relative to the page. Raises the store's errors, or BadSettings for a folder's."""

    @property
    def index(self) -> str:
        """The page: its path, or its key in the store."""

    @property
    def url(self) -> str:
        """The page, for a browser."""

    def names(self) -> Iterator[str]:
        """The files that are there, of those below `ASSETS`."""

    def write(self, name: str, data: bytes, content_type: str) -> None:
        """Whole or not at all, over what was there."""

    def remove(self, name: str) -> None:
        """Remove the file if it is there."""

    def get(self, key: str) -> bytes:
        """An output's or its metadata's bytes, by its key in the store. Raises ObjectMissing."""

    def href(self, key: str) -> str:
        """What the page links that output by: relative, percent-encoded."""


class StorePlace:
    """`batches/<batch>/gallery/` in the store; the outputs stay where they are."""

    def __init__(self, store: ObjectStore, batch: str) -> None:
        self._store = store
        self._batch = batch

    @property
    def index(self) -> str:
        return layout.gallery_key(self._batch, "index.html")

    @property
    def url(self) -> str:
        return web_address(self._store, self.index)

    def names(self) -> Iterator[str]:
        base = layout.gallery_key(self._batch, "")
        for info in self._store.list(f"{base}{ASSETS}"):
            yield info.key.removeprefix(base)

    def write(self, name: str, data: bytes, content_type: str) -> None:
        self._store.put(layout.gallery_key(self._batch, name), data, content_type=content_type)

    def remove(self, name: str) -> None:
        self._store.delete(layout.gallery_key(self._batch, name))

    def get(self, key: str) -> bytes:
        return self._store.get(key)

    def href(self, key: str) -> str:
        return "../" * self.index.count("/") + quote(key)


class FolderPlace:
    """A folder on this machine; `pictures`, in it, has what `fetch` brought."""

    def __init__(self, home: Path, pictures: Path, batch: str) -> None:
        self._home = home
        self._pictures = pictures
        self._prefix = layout.outputs_prefix(batch)

    @property
    def index(self) -> str:
        return str(self._home / "index.html")

    @property
    def url(self) -> str:
        return (self._home.absolute() / "index.html").as_uri()

    def names(self) -> Iterator[str]:
        for folder, _, files in os.walk(self._home / ASSETS):
            for file in files:
                yield (Path(folder) / file).relative_to(self._home).as_posix()

    def write(self, name: str, data: bytes, content_type: str) -> None:
        path = self._home / name
        temporary = path.parent / f".{secrets.token_hex(8)}.part"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            raise BadSettings(f"{path} can't be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        (self._home / name).unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        path = self._file(key)
        try:
            return path.read_bytes()
        except OSError as error:
            raise ObjectMissing(f"{path} can't be read: {error.strerror or error}") from error

    def href(self, key: str) -> str:
        return quote(self._file(key).relative_to(self._home).as_posix())

    def _file(self, key: str) -> Path:
        return self._pictures / key.removeprefix(self._prefix)


def web_address(store: ObjectStore, key: str) -> str:
    """Where a browser finds the object, if whoever opens it may read it; a password is hidden."""
    if isinstance(store, FolderStore):
        return (store.root / key).as_uri()
    if not store.url.startswith("s3://"):
        return f"{store.url}/{quote(key)}"

    # Loads botocore, which a store in S3 has loaded already.
    from impasto.shared.store.s3 import S3Store

    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    path = quote(f"{prefix}/{key}" if prefix else key)
    if isinstance(store, S3Store) and store.access.endpoint_url is not None:
        return f"{mask_url(store.access.endpoint_url).rstrip('/')}/{bucket}/{path}"
    region = store.access.region if isinstance(store, S3Store) else "us-east-1"
    return f"https://s3.{region}.amazonaws.com/{bucket}/{path}"
