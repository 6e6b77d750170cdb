"""Scalar and direction fields on the unit square, the ground that every manner of painting stands on.

A field is a floating array [size_px, size_px], one value a pixel centre; x runs right and y down, both in
0…1. Random fields are drawn on lattices counted in cells, never in pixels, so that one seed gives one
composition at every size.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
"""Any array of numbers; 32 bits wherever it is as large as a picture."""

_Scalar = TypeVar("_Scalar", bound=np.generic)


def grid(size_px: int) -> tuple[Field, Field]:
    """x and y of every pixel centre."""
    line = ((np.arange(size_px) + 0.5) / size_px).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def resize(field: Field, width_px: int, height_px: int) -> Field:
    """The field at another resolution: bicubic when it grows, area-weighted when it shrinks."""
    return np.asarray(
        Image.fromarray(field).resize((width_px, height_px), Image.Resampling.BICUBIC), np.float32
    )


def noise(
    rng: np.random.Generator,
    size_px: int,
    cells: float | tuple[float, float],
    *,
    octaves: int = 4,
    gain: float = 0.5,
) -> Field:
    """Fractal value noise of mean 0 and standard deviation 1.

    `cells` is the number of lattice cells of the coarsest octave, across and down when it is a pair; each
    octave doubles the cells and multiplies the amplitude by `gain`.
    """
    across, down = cells if isinstance(cells, tuple) else (cells, cells)
    total = np.zeros((size_px, size_px), np.float32)
    for octave in range(octaves):
        columns, rows = (max(2, round(n * 2**octave)) + 3 for n in (across, down))
        lattice = rng.standard_normal((rows, columns), dtype=np.float32)
        # The border of a bicubic enlargement is flat: enlarged with a margin of one cell, and cropped.
        inner = (1.0, 1.0, columns - 1.0, rows - 1.0)
        layer = Image.fromarray(lattice).resize((size_px, size_px), Image.Resampling.BICUBIC, box=inner)
        total += gain**octave * np.asarray(layer, np.float32)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


def wander(
    rng: np.random.Generator, along: Field, cells: int, *, octaves: int = 3, gain: float = 0.5
) -> Field:
    """Smooth noise of amplitude about 1 along one coordinate in 0…1: the line of a hill or a branch."""
    total = np.zeros_like(along)
    for octave in range(octaves):
        count = cells * 2**octave
        knots = rng.uniform(-1, 1, count + 2)
        position = np.clip(along, 0, 1) * count
        left = np.floor(position).astype(np.intp)
        share = position - left
        share = share * share * (3 - 2 * share)
        total += gain**octave * (knots[left] * (1 - share) + knots[left + 1] * share).astype(np.float32)
    return total


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high` (or the reverse when low > high), a smooth cubic between."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def blur(field: Field, sigma_px: float) -> Field:
    """A Gaussian blur with mirrored borders; wide ones are taken at a lower resolution."""
    rows, columns = field.shape
    shrink = int(max(1, min(sigma_px / 3, min(rows, columns) / 8)))
    if shrink > 1:
        small = resize(field, columns // shrink, rows // shrink)
        return resize(blur(small, sigma_px / shrink), columns, rows)
    if sigma_px < 0.2:
        return field
    reach = min(int(np.ceil(3 * sigma_px)), rows - 1, columns - 1)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2).astype(np.float32)
    taps /= taps.sum()
    for _ in range(2):
        padded = np.pad(field, ((reach, reach), (0, 0)), mode="symmetric")
        total = np.zeros_like(field)
        for offset, tap in enumerate(taps):
            total += tap * padded[offset : offset + field.shape[0]]
        field = total.T
    return np.ascontiguousarray(field)


def look_up(field: NDArray[_Scalar], x: Field, y: Field) -> NDArray[_Scalar]:
    """The field's value in the pixel that holds each point; points outside take the border's."""
    rows, columns = field.shape[:2]
    column = np.clip((x * columns).astype(np.int32), 0, columns - 1)
    row = np.clip((y * rows).astype(np.int32), 0, rows - 1)
    found: NDArray[_Scalar] = field[row, column]
    return found
