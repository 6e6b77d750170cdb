"""Inputs of pairs: fetched, decoded, and the last few kept, since neighbours in a batch share theirs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from impasto.shared.deployment import Deployment
from impasto.shared.jobs import InputRef
from impasto.shared.metadata import InputRecord
from impasto.shared.pictures import DecodedPicture, decode
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import open_input_reader
from impasto.worker.stopwatch import Stopwatch

_KEPT_PIXELS: Final = 100_000_000
"""About 300 MB of decoded pictures; the one in use is kept even when it is larger."""
_KEPT_INPUTS: Final = 256


@dataclass(frozen=True)
class Input:
    """An input as it was fetched and decoded."""

    ref: InputRef
    sha256: str
    size_bytes: int
    picture: DecodedPicture

    @property
    def pixels(self) -> int:
        return self.picture.width * self.picture.height

    def record(self) -> InputRecord:
        """The input as the metadata tells of it."""
        return InputRecord(
            uri=self.ref.uri,
            name=self.ref.name,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            width_px=self.picture.width,
            height_px=self.picture.height,
        )


class Inputs:
    """Reads inputs from where they lie; those with a known digest are read once while they stay in use."""

    def __init__(self, store: ObjectStore, deployment: Deployment) -> None:
        self._reader = open_input_reader(deployment, store)
        self._max_pixels = deployment.max_input_pixels
        self._recent: OrderedDict[str, Input] = OrderedDict()

    def read(self, ref: InputRef, stopwatch: Stopwatch) -> Input:
        """Raises InputRefused, ObjectMissing, BadPicture and the store's errors, each naming the input."""
        known = self._recent.get(ref.sha256) if ref.sha256 is not None else None
        if known is not None:
            self._recent.move_to_end(known.sha256)
            return Input(ref, known.sha256, known.size_bytes, known.picture)
        with stopwatch.phase("fetch"):
            data = self._reader.read(ref)
        with stopwatch.phase("decode"):
            picture = decode(data, name=ref.name, max_pixels=self._max_pixels)
        read = Input(ref, hashlib.sha256(data).hexdigest(), len(data), picture)
        self._keep(read)
        return read

    def _keep(self, read: Input) -> None:
        self._recent[read.sha256] = read
        while len(self._recent) > 1 and self._is_over_the_limit():
            self._recent.popitem(last=False)

    def _is_over_the_limit(self) -> bool:
        pixels = sum(kept.pixels for kept in self._recent.values())
        return pixels > _KEPT_PIXELS or len(self._recent) > _KEPT_INPUTS
