"""The pictures of a page, and the small files that stand for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from impasto.producer.gallery.pair import Done, Pair
from impasto.producer.gallery.places import ASSETS
from impasto.shared.batches import BatchFiles
from impasto.shared.jobs import BatchSpec, InputRef, StyleRef, weighted
from impasto.shared.printable import printable

VIEW_PX: Final = 2048
"""The longer side of what the slider lays over an output is at most this, and else the output's."""

_NOT_FOR_BROWSERS: Final = (".tif", ".tiff")
_ID_CHARACTERS: Final = 20


@dataclass
class Shown:
    """A picture that the page shows: its name, what it is made from, and the files that show it.

    `sources`: an output's key, or inputs with their shares. `thumbnail` and `view` are names of files; the
    view, where there is one, has `view_px` (width, height). `problem` is set when they can't be made.
    """

    name: str
    sources: tuple[tuple[InputRef | str, float], ...]
    thumbnail: str
    size_bytes: int
    view: str | None = None
    view_px: tuple[int, int] = (0, 0)
    problem: str | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all its files."""
        return (self.thumbnail,) if self.view is None else (self.thumbnail, self.view)


def show_inputs(files: BatchFiles, spec: BatchSpec, pairs: Sequence[Pair]) -> tuple[list[Shown], list[Shown]]:
    """The batch's contents, each with a view as large as its outputs, and its styles. Raises as `spec`."""
    sizes = {
        pair.content: (pair.result.width_px, pair.result.height_px)
        for pair in pairs
        if pair.result is not None
    }
    contents = [_input(files.content(spec.batch, at), sizes.get(at)) for at in range(spec.contents)]
    styles = [_input(files.style(spec.batch, at), None) for at in range(spec.styles)]
    return contents, styles


def show_outputs(pairs: Sequence[Pair]) -> dict[int, Shown]:
    """The outputs by pair; with a view where browsers can't show the picture itself."""
    return {pair.pair: _output(pair.result) for pair in pairs if pair.result is not None}


def _input(ref: StyleRef, output_px: tuple[int, int] | None) -> Shown:
    parts = weighted(ref)
    names = [f"{part.sha256 or part.uri}:{weight!r}" for part, weight in parts]
    id = _id("\n".join(names))
    size_bytes = sum(part.size_bytes or 0 for part, _ in parts)
    shown = Shown(printable(ref.name), parts, _thumbnail(id), size_bytes)
    if output_px is not None:
        shown.view_px = bounded(output_px, VIEW_PX)
        shown.view = _view(id, shown.view_px)
    return shown


def _output(result: Done) -> Shown:
    id = _id(result.picture_sha256)
    key = result.picture_key
    shown = Shown(printable(key), ((key, 1.0),), _thumbnail(id), result.picture_bytes)
    if key.endswith(_NOT_FOR_BROWSERS):
        shown.view_px = bounded((result.width_px, result.height_px), VIEW_PX)
        shown.view = _view(id, shown.view_px)
    return shown


def bounded(size_px: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """The size, or the largest of its proportions with no side longer than that; never below 1."""
    factor = min(1.0, longest_px / max(size_px))
    return max(1, round(size_px[0] * factor)), max(1, round(size_px[1] * factor))


def _id(text: str) -> str:
    """A name after what is shown: whatever changes gets another, and the old file is never taken for it."""
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARACTERS]


def _thumbnail(id: str) -> str:
    return f"{ASSETS}thumbs/{id}.webp"


def _view(id: str, size_px: tuple[int, int]) -> str:
    return f"{ASSETS}views/{id}-{size_px[0]}x{size_px[1]}.webp"
