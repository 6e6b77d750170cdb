"""Inputs of pairs: fetched, decoded, and the last few kept, since neighbours in a batch share theirs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from impasto.shared.deployment import Deployment
from impasto.shared.jobs import BlendRef, InputRef, PairJob, StyleRef, fingerprint, weighted
from impasto.shared.metadata import BlendRecord, InputRecord, PaintingRecord
from impasto.shared.pictures import DecodedPicture, as_mask, decode
from impasto.shared.settings import StyleSettings
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


@dataclass(frozen=True)
class Style:
    """One style: a picture, or the pictures of a blend, each with its weight."""

    ref: StyleRef
    pictures: tuple[tuple[Input, float], ...]

    @property
    def looks(self) -> Sequence[tuple[Image.Image, float]]:
        """As the engine takes them."""
        return [(picture.picture.rgb, weight) for picture, weight in self.pictures]

    @property
    def digests(self) -> Sequence[tuple[str, float]]:
        """As the fingerprint takes them."""
        return [(picture.sha256, weight) for picture, weight in self.pictures]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted on any of its pictures, each note once."""
        return tuple(dict.fromkeys(note for picture, _ in self.pictures for note in picture.picture.notes))

    def record(self) -> InputRecord | BlendRecord:
        """The style as the metadata tells of it."""
        if not isinstance(self.ref, BlendRef):
            return self.pictures[0][0].record()
        paintings = (
            PaintingRecord(**picture.record().model_dump(), weight=weight)
            for picture, weight in self.pictures
        )
        return BlendRecord(name=self.ref.name, blend=tuple(paintings))


@dataclass(frozen=True)
class PairInputs:
    """All that a pair is made from."""

    content: Input
    style: Style
    mask: Input | None

    def fingerprint(self, settings: StyleSettings) -> str:
        """The identity of what these inputs give under those settings."""
        mask_sha256 = None if self.mask is None else self.mask.sha256
        return fingerprint(self.content.sha256, self.style.digests, settings, mask_sha256=mask_sha256)

    def mask_picture(self) -> Image.Image | None:
        """Mode L and the content's size, white where the style applies. Raises BadPicture for one that does
        not fit.
        """
        if self.mask is None:
            return None
        scene = self.content.picture
        return as_mask(self.mask.picture, name=self.mask.ref.name, size=(scene.width, scene.height))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the pictures."""
        of_mask = () if self.mask is None else self.mask.picture.notes
        return (*self.content.picture.notes, *self.style.notes, *(f"mask: {note}" for note in of_mask))


class Inputs:
    """Reads inputs from where they lie; those with a known digest are read once while they stay in use."""

    def __init__(self, store: ObjectStore, deployment: Deployment) -> None:
        self._reader = open_input_reader(deployment, store)
        self._max_pixels = deployment.max_input_pixels
        self._recent: OrderedDict[str, Input] = OrderedDict()

    def read_pair(self, job: PairJob, stopwatch: Stopwatch) -> PairInputs:
        """All inputs of a job. Raises as `read`."""
        return PairInputs(
            content=self.read(job.content, stopwatch),
            style=Style(
                job.style,
                tuple((self.read(ref, stopwatch), weight) for ref, weight in weighted(job.style)),
            ),
            mask=None if job.mask is None else self.read(job.mask, stopwatch),
        )

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
