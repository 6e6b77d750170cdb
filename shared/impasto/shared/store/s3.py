"""S3, or what speaks like it, as the store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace

from impasto.shared.errors import ObjectMissing, StoreRefused, StoreUnavailable
from impasto.shared.printable import printable
from impasto.shared.store.interface import ObjectInfo
from impasto.shared.store.keys import KEY_LIMIT_BYTES, checked_key, checked_prefix
from impasto.shared.store.metadata import to_wire
from impasto.shared.store.s3_access import S3Access
from impasto.shared.store.s3_bucket import S3Bucket


class S3Store:
    """Objects under `s3://bucket/prefix`; the prefix may be empty."""

    def __init__(self, access: S3Access, bucket: str, prefix: str = "") -> None:
        self.access = access
        self._bucket = S3Bucket(access, bucket)
        self._base = f"{checked_key(prefix)}/" if prefix else ""

    def __repr__(self) -> str:
        return f"S3Store({self.url!r}, {self.access.endpoint!r})"

    @property
    def bucket(self) -> S3Bucket:
        """The bucket that the store lies in."""
        return self._bucket

    @property
    def url(self) -> str:
        return f"s3://{self._bucket.name}/{self._base}".rstrip("/")

    def put(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        wire = to_wire(metadata, key=key)
        self._bucket.put(self._whole(key), data, content_type=content_type, metadata=wire)

    def put_if_absent(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        return self._bucket.put_if_absent(
            self._whole(key),
            data,
            content_type=content_type,
            metadata=to_wire(metadata, key=key),
            probe_key=self._whole(f"checks/{uuid.uuid4()}"),
        )

    def copy(self, source: str, target: str) -> None:
        if source != target:
            self._bucket.copy(self._whole(source), self._whole(target))
        elif self.head(source) is None:
            raise ObjectMissing(f"{self.url} has no object '{printable(source)}'")

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        return self._bucket.get(self._whole(key), limit_bytes=limit_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        found = self._bucket.head(self._whole(key))
        return found and replace(found, key=key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in self._bucket.list(self._base + checked_prefix(prefix)):
            yield replace(found, key=found.key.removeprefix(self._base))

    def delete(self, key: str) -> None:
        self._bucket.delete(self._whole(key))

    def check(self) -> None:
        # Whoever waits for this is a person: one repetition, not eight.
        access = replace(
            self.access,
            attempts=min(2, self.access.attempts),
            read_timeout_seconds=min(10, self.access.read_timeout_seconds),
        )
        brisk = S3Store(access, self._bucket.name, self._base.rstrip("/"))
        key, data = f"checks/{uuid.uuid4()}", b"impasto"
        brisk.put(key, data, content_type="application/octet-stream")
        if brisk.get(key) != data:
            raise StoreUnavailable(
                f"{self.url} at {self.access.endpoint} gave back other bytes than were put"
            )
        brisk.delete(key)

    def _whole(self, key: str) -> str:
        whole = self._base + checked_key(key)
        if len(whole.encode()) > KEY_LIMIT_BYTES:
            raise StoreRefused(
                f"'{printable(whole)}' is longer than the {KEY_LIMIT_BYTES} bytes of a key: "
                "shorten the store's prefix"
            )
        return whole
