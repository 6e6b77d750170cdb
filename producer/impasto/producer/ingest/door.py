"""Which objects come in: pictures under the prefix, never what Impasto itself has put there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from impasto.producer.ingest.events import CreatedObject
from impasto.producer.sources import PICTURE_EXTENSIONS, Candidate, extension_of
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

OWN_FOLDERS: Final = (
    layout.INPUTS,
    layout.OUTPUTS,
    layout.BATCHES,
    layout.SCHEDULES,
    layout.OPEN_NIGHTS,
    "results/",
)
"""Below the store's prefix: what is written there must never come in again."""


class Verdict(StrEnum):
    """What becomes of an event; all but the first and the last are counted, and the message is deleted."""

    PICTURE = "picture"
    OWN = "own"  # Impasto's own
    OUTSIDE = "outside"  # of another bucket, or not below the prefix
    NO_PICTURE = "no_picture"  # by its name
    NOT_ALLOWED = "not_allowed"  # the workers may not read it: left on the queue


@dataclass(frozen=True)
class Door:
    """`bucket` and `prefix`: only what lies there, None and "" for all. `places` may be read by workers."""

    store_url: str
    bucket: str | None
    prefix: str
    places: Sequence[str]

    @classmethod
    def make(cls, prefix: str | None, store_url: str, input_prefixes: Sequence[str]) -> Door:
        """`prefix` is `s3://bucket/folder/`, or `folder/` of any bucket. Raises BadSettings."""
        bucket, key = None, prefix or ""
        if key.startswith("s3://"):
            bucket, _, key = key.removeprefix("s3://").partition("/")
            if not bucket:
                raise BadSettings(
                    f"--prefix {printable(prefix or '')} names no bucket: write s3://bucket/folder/"
                )
        elif "://" in key:
            raise BadSettings(
                f"--prefix {printable(key)} is none of S3: write s3://bucket/folder/ or folder/"
            )
        own = f"s3://{store_url.removeprefix('s3://').partition('/')[0]}" if _on_s3(store_url) else None
        door = cls(store_url.rstrip("/"), bucket, key, (*([own] if own else []), *input_prefixes))
        if bucket is not None and door._is_own(f"s3://{bucket}/{key}"):
            raise BadSettings(
                f"--prefix {printable(prefix or '')} is where Impasto keeps its own files: "
                "its pictures would come in again and again; name another folder"
            )
        return door

    def judge(self, one: CreatedObject) -> Verdict:
        if self._is_own(one.uri):
            return Verdict.OWN
        if (self.bucket is not None and one.bucket != self.bucket) or not one.key.startswith(self.prefix):
            return Verdict.OUTSIDE
        if extension_of(one.key) not in PICTURE_EXTENSIONS:
            return Verdict.NO_PICTURE
        if not any(one.uri.startswith(f"{place.rstrip('/')}/") for place in self.places):
            return Verdict.NOT_ALLOWED
        return Verdict.PICTURE

    def candidate(self, one: CreatedObject) -> Candidate:
        """The object as an input, whose names begin behind the prefix."""
        folder = f"s3://{one.bucket}/{self.prefix.rpartition('/')[0]}".rstrip("/")
        return Candidate(one.uri, one.size_bytes, uri=one.uri, folder=folder)

    def _is_own(self, uri: str) -> bool:
        return _on_s3(self.store_url) and any(
            uri.startswith(f"{self.store_url}/{folder}") for folder in OWN_FOLDERS
        )


def _on_s3(store_url: str) -> bool:
    return store_url.startswith("s3://")
