"""Two manners with oil: thick strokes along a flow, and dots of divided colour."""

from __future__ import annotations

import numpy as np

from impasto.producer.demo.fields import Field, look_up
from impasto.producer.demo.scenes import Scene, nocturne, rgb, river
from impasto.producer.demo.strokes import Brush, Canvas, trace


def scattered(rng: np.random.Generator, count: int) -> tuple[Field, Field]:
    """About `count` points that cover the unit square evenly but on no visible grid, in random order."""
    side = max(2, round(count**0.5))
    cell = rng.permutation(side * side)
    x = (cell % side + rng.uniform(0, 1, cell.size)) / side
    y = (cell // side + rng.uniform(0, 1, cell.size)) / side
    return x.astype(np.float32), y.astype(np.float32)


def brushed(
    canvas: Canvas,
    scene: Scene,
    rng: np.random.Generator,
    *,
    length: float,
    width: float,
    coverage: float,
    jitter: float,
    brush: Brush,
) -> None:
    """One coat of strokes over the whole scene: far forms first, each stroke a colour of its form's ramp."""
    x, y = scattered(rng, round(coverage / (length * width)))
    depth = np.argsort(look_up(scene.region, x, y), kind="stable")
    x, y = x[depth], y[depth]
    n = len(x)
    lengths = (length * rng.uniform(0.55, 1.35, n)).astype(np.float32)
    path = trace(scene.angle, scene.region, x, y, lengths)
    colour = scene.colours(x, y, (jitter * rng.standard_normal(n)).astype(np.float32))
    # Warm against cool within one tone: what keeps a mass of paint alive.
    warmth = (0.028 * rng.standard_normal(n)).astype(np.float32)[:, None]
    colour = np.clip(colour + warmth * np.array([1.0, 0.15, -1.0], np.float32), 0.01, 0.99)
    canvas.stroke(
        path, (width * rng.uniform(0.65, 1.3, n)).astype(np.float32), colour.astype(np.float32), brush
    )


def impasto(size_px: int, rng: np.random.Generator) -> Field:
    scene = nocturne(size_px, rng)
    canvas = Canvas(scene.image() * np.float32(0.85), rng)
    brushed(canvas, scene, rng, length=0.11, width=0.020, coverage=2.2, jitter=0.06, brush=Brush(dryness=0.2))
    brushed(canvas, scene, rng, length=0.075, width=0.0115, coverage=1.6, jitter=0.10, brush=Brush())
    brushed(
        canvas, scene, rng, length=0.050, width=0.0075, coverage=0.9, jitter=0.13, brush=Brush(dryness=0.5)
    )
    return canvas.lit(relief=0.30)


# Pure hues as they come from the tube, and white: Seurat mixed nothing on the palette but with white.
PURE = (
    "f4d21f", "f59a1c", "ea5a1f", "d6293a", "b8257a", "6b2c91", "3a3a9f", "1f5fb8", "1f93c4", "119a8a",
    "2e9d45", "9cc52f", "fff6e0", "fbe08a", "f7b9a0", "b9a6dc", "9fd0e6", "bfe0a0", "17163f",
    "12323a", "4a1633",
)  # fmt: skip


def divided(rng: np.random.Generator, colour: Field, spread: float, complement: float) -> Field:
    """Each colour [n, 3] as one pure hue near it, or with probability `complement` near its complement."""
    hues = np.stack([rgb(hue) for hue in PURE])
    grey = _lightness(colour)
    chroma = colour - grey[:, None]
    turned = (rng.uniform(0, 1, len(colour)) < complement)[:, None]
    wanted = np.where(turned, grey[:, None] - 0.9 * chroma, grey[:, None] + 1.25 * chroma)
    wanted = wanted + spread * rng.standard_normal(colour.shape)
    apart = (wanted[:, None, :] - hues) ** 2
    hue = hues[(0.8 * apart[..., 0] + 1.2 * apart[..., 1] + 0.6 * apart[..., 2]).argmin(1)]
    # The hue keeps some of the place's lightness, so that forms stay readable through the dots.
    lightness = (grey - _lightness(hue))[:, None]
    dot = hue + 0.45 * lightness + 0.02 * rng.standard_normal(colour.shape)
    return np.asarray(np.clip(dot, 0.01, 0.99), np.float32)


def _lightness(colour: Field) -> Field:
    # Written out: a product of matrices may sum in another order with another number of threads.
    return np.asarray(0.3 * colour[..., 0] + 0.59 * colour[..., 1] + 0.11 * colour[..., 2])


def pointillist(size_px: int, rng: np.random.Generator) -> Field:
    scene = river(size_px, rng)
    canvas = Canvas(0.75 * scene.image() + np.float32(0.2), rng)
    for radius, coverage, spread, complement in (
        (0.0080, 1.5, 0.08, 0.04),
        (0.0050, 2.0, 0.10, 0.08),
        (0.0036, 0.9, 0.15, 0.14),
    ):
        x, y = scattered(rng, round(coverage / (np.pi * radius**2)))
        n = len(x)
        colour = scene.colours(x, y, (0.05 * rng.standard_normal(n)).astype(np.float32))
        size = (radius * rng.uniform(0.75, 1.2, n)).astype(np.float32)
        canvas.dab(x, y, size, divided(rng, colour, spread, complement), body=0.8)
    return canvas.lit(relief=0.16)
