"""Oil paint: opaque ribbons and dabs with bristle marks and relief, laid in order, lit from upper left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto.producer.demo.fields import Field, blur, look_up, resize

OVERSAMPLING = 2
_SAMPLES_A_CHUNK = 1_500_000
# Samples of a ribbon lie closer than a pixel, or a turned ribbon would have holes.
_SPACING_PX = 0.72


def trace(
    angle: Field, region: NDArray[np.int16], x: Field, y: Field, length: Field, points: int = 17
) -> Field:
    """Streamlines through the seeds (x, y), each about `length` long, cut where they would leave their form.

    Returns [seed, point, 2]; `points` is odd and the seed is in the middle unless one side was cut short.
    """
    half = points // 2
    step = length / (points - 1)
    home = look_up(region, x, y)
    path = np.empty((len(x), points, 2), np.float32)
    path[:, half] = np.stack([x, y], 1)
    reach = np.zeros((2, len(x)), np.float32)
    for side, sign in enumerate((-1, 1)):
        px, py = x.copy(), y.copy()
        alive = np.ones(len(x), bool)
        for k in range(1, half + 1):
            heading = look_up(angle, px, py)
            nx, ny = px + sign * step * np.cos(heading), py + sign * step * np.sin(heading)
            alive &= look_up(region, nx, ny) == home
            reach[side] += alive
            px, py = nx, ny
            path[:, half + sign * k] = np.stack([px, py], 1)
    share = np.linspace(0, 1, points, dtype=np.float32)
    position = half - reach[0][:, None] + share * (reach[0] + reach[1])[:, None]
    return _along(path, position)


def _along(path: Field, position: Field) -> Field:
    """Points of polylines [n, p, 2] at fractional vertex numbers [n, m]: [n, m, 2]."""
    left = np.clip(position.astype(np.intp), 0, path.shape[1] - 2)
    share = (position - left)[..., None].astype(np.float32)
    rows = np.arange(len(path))[:, None]
    return np.asarray(path[rows, left] * (1 - share) + path[rows, left + 1] * share, np.float32)


@dataclass(frozen=True)
class Brush:
    """How a ribbon of paint looks: all amounts are shares of 1."""

    bristle: float = 0.10  # how much lightness the single hairs vary
    dryness: float = 0.35  # how much of the ribbon's end is broken by hairs that ran dry
    body: float = 1.0  # relief
    taper: float = 0.5  # narrowing towards the end


class Canvas:
    """Wet paint at OVERSAMPLING times the picture's resolution: a colour (0…1) and a height a sample."""

    def __init__(self, ground: Field, rng: np.random.Generator) -> None:
        """An unpainted canvas whose ground [size_px, size_px, 3] shows where no stroke falls."""
        self.size_px = len(ground)
        self._rng = rng
        self._side = self.size_px * OVERSAMPLING
        self._paint = np.zeros((self._side * self._side, 4), np.float32)
        self._paint[:, :3] = ground.repeat(OVERSAMPLING, 0).repeat(OVERSAMPLING, 1).reshape(-1, 3)
        # Hairs: fine across (rows), long along (columns).
        hairs = rng.standard_normal((256, 24), dtype=np.float32)
        hairs = resize(hairs, 512, 256) + 0.8 * resize(
            rng.standard_normal((64, 12), dtype=np.float32), 512, 256
        )
        self._hairs = np.asarray(hairs / hairs.std(), np.float32)

    def stroke(self, path: Field, width: Field, colour: Field, brush: Brush) -> None:
        """Lays ribbons in order: paths [n, p, 2] and widths [n] in unit coordinates, colours [n, 3]."""
        length_px = np.linalg.norm(np.diff(path, axis=1), axis=2).sum(1) * self._side
        width_px = width * self._side
        start = 0
        while start < len(path):
            stop = start + 1
            longest, widest = float(length_px[start]), float(width_px[start])
            while stop < len(path):
                longer, wider = max(longest, float(length_px[stop])), max(widest, float(width_px[stop]))
                if (stop - start + 1) * (longer + 4) * (wider + 4) > _SAMPLES_A_CHUNK * _SPACING_PX**2:
                    break
                longest, widest, stop = longer, wider, stop + 1
            chunk = slice(start, stop)
            self._ribbons(path[chunk], width[chunk], colour[chunk], brush, longest, widest)
            start = stop

    def _ribbons(
        self, path: Field, width: Field, colour: Field, brush: Brush, longest_px: float, widest_px: float
    ) -> None:
        n, points = path.shape[:2]
        s = np.linspace(0, 1, int(longest_px / _SPACING_PX) + 3, dtype=np.float32)
        t = np.linspace(-1, 1, int(widest_px / _SPACING_PX) + 3, dtype=np.float32)
        centre = _along(path, np.broadcast_to(s * (points - 1), (n, len(s))))
        tangent = np.gradient(centre, axis=1)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
        round_off = np.minimum(1, 0.35 + np.sqrt(np.minimum(s, 1 - s) * 8)) * (1 - brush.taper * s**2)
        half = (0.5 * width)[:, None] * round_off
        # [n, s, t]
        x = centre[:, :, 0, None] - (tangent[:, :, 1] * half)[:, :, None] * t
        y = centre[:, :, 1, None] + (tangent[:, :, 0] * half)[:, :, None] * t

        row = self._rng.integers(0, 256, (n,))
        column = self._rng.integers(0, 512, (n,))
        across = (row[:, None] + (t + 1) * 0.5 * (0.62 * width[:, None] * self._side)).astype(np.intp) % 256
        along = (column[:, None] + s * longest_px * 0.8).astype(np.intp) % 512
        hair = self._hairs[across[:, None, :], along[:, :, None]]

        edge = np.abs(t)
        # Paint is pushed aside by the brush: the rims stand a little higher than the middle.
        profile = np.where(edge < 0.8, 0.62 + 0.38 * (edge / 0.8) ** 3, (1 - edge) / 0.2)
        height = brush.body * (profile * (0.75 + 0.25 * s[:, None]) + 0.2 * hair)
        height += self._rng.uniform(0, 0.35 * brush.body, (n,)).astype(np.float32)[:, None, None]
        keep = hair > 5.4 * brush.dryness * s[:, None] ** 2 * (0.55 + 0.45 * edge) - 2.9
        keep &= (x >= 0) & (x < 1) & (y >= 0) & (y < 1)

        cell = (y[keep] * self._side).astype(np.int32) * self._side + (x[keep] * self._side).astype(np.int32)
        values = np.empty((len(cell), 4), np.float32)
        which = np.broadcast_to(np.arange(n)[:, None, None], keep.shape)[keep]
        values[:, :3] = colour[which] * (1 + brush.bristle * hair[keep])[:, None]
        values[:, 3] = height[keep]
        self._paint[cell] = values  # where samples share a cell the last one stays, as with paint

    def dab(self, x: Field, y: Field, radius: Field, colour: Field, body: float = 1.0) -> None:
        """Lays round, slightly uneven dabs in order."""
        radius_px = radius * self._side
        for chunk in np.array_split(np.arange(len(x)), max(1, len(x) // 4000)):
            reach = int(np.ceil(float(radius_px[chunk].max()) * 1.2)) + 1
            dy, dx = (d.ravel() for d in np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32))
            cx, cy = x[chunk] * self._side, y[chunk] * self._side
            turn = self._rng.uniform(0, np.pi, len(chunk)).astype(np.float32)[:, None]
            u = dx * np.cos(turn) + dy * np.sin(turn)
            v = (dy * np.cos(turn) - dx * np.sin(turn)) * 1.18
            r = np.sqrt(u * u + v * v) / radius_px[chunk][:, None]
            column, row = (cx[:, None] + dx).astype(np.int32), (cy[:, None] + dy).astype(np.int32)
            keep = (r < 1) & (column >= 0) & (column < self._side) & (row >= 0) & (row < self._side)
            values = np.empty((int(keep.sum()), 4), np.float32)
            which = np.broadcast_to(np.arange(len(chunk))[:, None], keep.shape)[keep]
            values[:, :3] = colour[chunk][which]
            values[:, 3] = body * (1 - r[keep] ** 2)
            self._paint[row[keep] * self._side + column[keep]] = values

    def lit(self, relief: float) -> Field:
        """The finished picture [size_px, size_px, 3] in 0…1: the paint under raking light."""
        paint = self._paint.reshape(self._side, self._side, 4)
        height = blur(np.ascontiguousarray(paint[..., 3]), 0.35 * OVERSAMPLING)
        down, right = np.gradient(height)
        # Light from the upper left; the gradient's scale keeps the relief's look at every size.
        slope = relief * (right + down) * (self._side / 1536) ** 0.5
        shade = np.clip(slope, -0.55, 0.6)
        gloss = np.clip(slope - 0.28, 0, 1)[..., None]
        colour = paint[..., :3] * (1 + shade)[..., None] + 0.5 * gloss
        fold = colour.reshape(self.size_px, OVERSAMPLING, self.size_px, OVERSAMPLING, 3)
        return np.asarray(fold.mean(axis=(1, 3)), np.float32)
