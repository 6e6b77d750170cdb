"""The store's contract: a few operations on keys, idempotent by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """What a HEAD tells. `metadata` has lower-case ASCII names and any text as values.

    `content_type` and `metadata` are empty where they are not known: in listings, and for a file that
    nobody put through the store. `stamp` is another for each put of other bytes (S3's ETag, a file's time in
    nanoseconds), so that a listing tells what has changed.
    """

    key: str
    size_bytes: int
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    stamp: str = field(default="", compare=False)


class ObjectStore(Protocol):
    """Bytes by key under one prefix. Keys are relative, `/`-separated, without `..` or control characters.

    Every method raises StoreUnavailable when the store may answer later and StoreRefused when it won't
    (missing bucket, wrong key, no permission, what `checked_key` refuses), in one line that names the store
    and the mend. Safe to use from several threads, and after a fork.

    A key and a longer one that starts with it and a slash (`a`, `a/b`) must not both be put: a folder
    can't hold both.
    """

    @property
    def url(self) -> str:
        """`s3://bucket/prefix` or `file:///folder`, without a slash at the end."""

    def put(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Store whole or not at all, over what was there.

        `metadata`: names of lower-case ASCII letters, digits and dashes, any text as values; 2 KB
        altogether in percent-encoding, else StoreRefused.
        """

    def put_if_absent(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        """Store unless there is one; whether this call stored it.

        Of two at once one stores, except on an S3 imitation without `If-None-Match`: there the last one wins.
        """

    def copy(self, source: str, target: str) -> None:
        """Store the object once more under another key, with its type and metadata, over what was there.

        Whole or not at all, without the bytes coming here; each goes its own way from then on. Raises
        ObjectMissing.
        """

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        """The object's bytes. Raises ObjectMissing; BadPicture when it is larger than `limit_bytes`."""

    def head(self, key: str) -> ObjectInfo | None:
        """None when there is no such object."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose keys start with `prefix`, paged, in the store's order.

        Without content type and metadata, with stamps.
        """

    def delete(self, key: str) -> None:
        """Remove the object if there is one."""

    def check(self) -> None:
        """Prove within seconds that objects can be put, read and removed, or raise."""
