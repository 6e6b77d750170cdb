"""Loss curves as a picture, one panel a pair."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image, ImageDraw
from tests.bench.engine import WITHIN, Curve

_WIDTH, _HEIGHT, _MARGIN = 420, 260, 34
_COLUMNS = 2
_SEED, _OURS, _INK, _PALE = (178, 84, 56), (38, 92, 156), (40, 40, 40), (215, 215, 215)
_HIGHEST = 100.0
_LOWEST = 0.9


def plot_curves(curves: dict[str, tuple[Curve, Curve]]) -> Image.Image:
    """Loss ÷ the seed program's best (logarithmic) against seconds: that red, ours blue, the line
    to be reached grey.
    """
    rows = math.ceil(len(curves) / _COLUMNS)
    sheet = Image.new("RGB", (_WIDTH * _COLUMNS, _HEIGHT * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (name, (seed, ours)) in enumerate(curves.items()):
        left, top = place % _COLUMNS * _WIDTH, place // _COLUMNS * _HEIGHT
        _panel(draw, left, top, name, seed, ours)
    return sheet


def _panel(draw: ImageDraw.ImageDraw, left: int, top: int, name: str, seed: Curve, ours: Curve) -> None:
    longest = max(*seed.seconds, *ours.seconds)
    inner_width, inner_height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def point(seconds: float, ratio: float) -> tuple[float, float]:
        clipped = min(max(ratio, _LOWEST), _HIGHEST) if math.isfinite(ratio) else _HIGHEST
        height = math.log(clipped / _LOWEST) / math.log(_HIGHEST / _LOWEST)
        return (
            left + _MARGIN + seconds / longest * inner_width,
            top + _HEIGHT - _MARGIN - height * inner_height,
        )

    for ratio in (1, 2, 5, 10, 100):
        _, y = point(0, ratio)
        draw.line([(left + _MARGIN, y), (left + _WIDTH - _MARGIN, y)], fill=_PALE)
        draw.text((left + 6, y - 6), f"{ratio}x", fill=_INK)
    draw.line([point(0, WITHIN), point(longest, WITHIN)], fill=(120, 120, 120))
    for curve, colour in ((seed, _SEED), (ours, _OURS)):
        points = [point(s, r) for s, r in zip(curve.seconds, curve.ratios, strict=True)]
        draw.line(points, fill=colour, width=2)
    # The font that Pillow brings has no sign of multiplication.
    draw.text((left + _MARGIN, top + 10), name.replace("×", "x"), fill=_INK)
    draw.text((left + _WIDTH - 70, top + _HEIGHT - 24), f"{longest:.0f} s", fill=_INK)


def plot_sizes(sizes: list[dict[str, Any]]) -> Image.Image:
    """Seconds a step (blue) and peak resident bytes of the process (red) against megapixels, all
    logarithmic, each measured point with its figure.
    """
    sheet = Image.new("RGB", (2 * _WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for left, title, values, colour in (
        (0, "seconds a step", [size["step_seconds"] for size in sizes], _OURS),
        (_WIDTH, "peak resident GB", [size["peak_rss_bytes"] / 1e9 for size in sizes], _SEED),
    ):
        megapixels = [size["megapixels"] for size in sizes]
        points = [
            (
                left + _MARGIN + _share(x, megapixels) * (_WIDTH - 3 * _MARGIN),
                _HEIGHT - _MARGIN - _share(y, values) * (_HEIGHT - 3 * _MARGIN),
            )
            for x, y in zip(megapixels, values, strict=True)
        ]
        draw.line(points, fill=colour, width=2)
        draw.text((left + _MARGIN, 10), f"{title}, by megapixels", fill=_INK)
        for (x, y), value, size in zip(points, values, megapixels, strict=True):
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
            draw.text((x - 10, y - 16), f"{value:.3g}", fill=_INK)
            draw.text((x - 10, _HEIGHT - 20), f"{size:.2g}", fill=_INK)
    return sheet


def _share(value: float, values: list[float]) -> float:
    """Where a value lies between the least and the largest, logarithmically, in [0, 1]."""
    low, high = min(values), max(values)
    return math.log(value / low) / math.log(high / low) if high > low else 0.5
