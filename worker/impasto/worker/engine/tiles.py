"""How a picture is cut into tiles whose features are exactly those of the whole picture.

A tile answers for its core: the pixels, and at each layer the positions, that belong to it alone. To know
their features it looks at a crop, which is the core and a halo as wide as the receptive field. Cores start at
multiples of the trunk's total stride, so that the poolings of a crop fall where those of the picture fall,
and crops end at the picture's borders where they would reach past them, so that convolutions see padding
there and only there. What padding at a seam spoils lies in the halo, and nobody looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.network import Trunk

Interval = tuple[int, int]
"""First position, and the one after the last."""

_CONVOLUTION_REACH: Final = 1


@dataclass(frozen=True)
class Area:
    """Rows and columns."""

    rows: Interval
    columns: Interval

    @property
    def positions(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])

    def of(self, whole: Tensor) -> Tensor:
        """That part of (B, C, H, W), as a view."""
        return whole[:, :, slice(*self.rows), slice(*self.columns)]


@dataclass(frozen=True)
class Frame:
    """A picture of `size` (height, width) px in a margin (down, across) of its own mirror image, of which
    only the part that is looked at is ever made.
    """

    size: tuple[int, int]
    margin: tuple[int, int]

    @property
    def framed_size(self) -> tuple[int, int]:
        """(height, width) with the margins."""
        return self.size[0] + 2 * self.margin[0], self.size[1] + 2 * self.margin[1]

    def inner(self, area: Area) -> Area:
        """The picture's pixels that an area of the framed picture shows."""
        rows, columns = self._sources(area)
        return Area(_span(rows), _span(columns))

    def shown(self, pixels: Tensor, area: Area) -> Tensor:
        """The area of the framed picture, from the pixels of `inner(area)`, (B, 3, h, w)."""
        rows, columns = self._sources(area)
        for axis, sources in ((2, rows), (3, columns)):
            places = sources - sources.min()
            if not torch.equal(places, torch.arange(len(places))):
                places = places.to(pixels.device)
                pixels = pixels[:, :, places] if axis == 2 else pixels[:, :, :, places]
        return pixels

    def _sources(self, area: Area) -> tuple[Tensor, Tensor]:
        rows, columns = (
            _mirrored(torch.arange(*interval) - margin, side)
            for interval, margin, side in zip((area.rows, area.columns), self.margin, self.size, strict=True)
        )
        return rows, columns


def _mirrored(positions: Tensor, side: int) -> Tensor:
    positions = positions.abs()
    return torch.where(positions >= side, 2 * (side - 1) - positions, positions)


def _span(sources: Tensor) -> Interval:
    return int(sources.min()), int(sources.max()) + 1


@dataclass(frozen=True)
class Tile:
    """`crop` is in the picture's pixels. By layer name: `cores` are positions in the whole picture's
    features, `places` the same positions counted in the crop's features.
    """

    crop: Area
    cores: dict[str, Area]
    places: dict[str, Area]


def tiles(trunk: Trunk, size: tuple[int, int], tile_px: int) -> list[Tile]:
    """Tiles of a picture of (height, width) px with cores of about `tile_px` a side, row by row.

    At each of the trunk's layers the cores cover every position once. No core is narrower than the total
    stride; a side that is shorter than twice that is not cut, since poolings treat sides of one position in
    their own way.
    """
    rows, columns = (_cut(trunk, side, tile_px) for side in size)
    return [
        Tile(
            crop=Area(row.crop, column.crop),
            cores={name: Area(row.cores[name], column.cores[name]) for name in row.cores},
            places={name: Area(row.places[name], column.places[name]) for name in row.places},
        )
        for row in rows
        for column in columns
    ]


def halo_px(trunk: Trunk) -> int:
    """How far, at most, a crop reaches past its core on each side."""
    far = total_stride(trunk) * 1000
    middle = _cut(trunk, far * 3, far)[1]
    return max(far - middle.crop[0], middle.crop[1] - 2 * far)


def total_stride(trunk: Trunk) -> int:
    """Pixels a position of the trunk's last layer, along each side."""
    return int(2 ** sum(layer.kind == "pool" for layer in trunk.layers))


def _crop_grid(trunk: Trunk) -> int:
    """Pixels of which the bounds of a crop are multiples.

    By Winograd's algorithm a position's rounding depends on its place among four: crops keep the places that
    the whole picture has, or the tiles of a max-pooled trunk would break near-ties in other ways.
    """
    fours = any(convolution.transformed is not None for convolution in trunk.convolutions)
    return total_stride(trunk) * (4 if fours else 1)


@dataclass(frozen=True)
class _Piece:
    """A tile along one side."""

    crop: Interval
    cores: dict[str, Interval]
    places: dict[str, Interval]


def _cut(trunk: Trunk, side: int, tile_px: int) -> list[_Piece]:
    lengths = _lengths(trunk, side)
    stride = total_stride(trunk)
    count = max(1, min(-(-side // tile_px), side // stride))
    if count == 1:
        whole = {
            name: (0, lengths[position + 1]) for position, names in trunk.wanted.items() for name in names
        }
        return [_Piece((0, side), whole, whole)]
    bounds = [i * side // (count * stride) * stride for i in range(count)] + [side]
    return [_piece(trunk, lengths, start, end) for start, end in pairwise(bounds)]


def _piece(trunk: Trunk, lengths: list[int], start: int, end: int) -> _Piece:
    cores: dict[str, Interval] = {}
    strides: dict[str, int] = {}
    need: Interval | None = None
    stride = total_stride(trunk)
    for position in reversed(range(len(trunk.layers))):
        length = lengths[position + 1]
        if position in trunk.wanted:
            core = (start // stride, length if end == lengths[0] else end // stride)
            for name in trunk.wanted[position]:
                cores[name], strides[name] = core, stride
            need = core if need is None else (min(need[0], core[0]), max(need[1], core[1]))
        if need is None:
            continue
        kind = trunk.layers[position].kind
        if kind == "conv":
            need = (
                max(0, need[0] - _CONVOLUTION_REACH),
                min(lengths[position], need[1] + _CONVOLUTION_REACH),
            )
        elif kind == "pool":
            need = (2 * need[0], 2 * need[1])
            stride //= 2
    left, right = need if need is not None else (start, end)
    grid = _crop_grid(trunk)
    left, right = left // grid * grid, min(lengths[0], -(-right // grid) * grid)
    places = {
        name: (core[0] - left // strides[name], core[1] - left // strides[name])
        for name, core in cores.items()
    }
    return _Piece((left, right), cores, places)


def _lengths(trunk: Trunk, side: int) -> list[int]:
    """The side's length before the first layer and after each."""
    lengths = [side]
    for layer in trunk.layers:
        before = lengths[-1]
        lengths.append(before // min(2, before) if layer.kind == "pool" else before)
    return lengths
