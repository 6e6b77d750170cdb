"""Coarse to fine: at which sizes a picture is optimised, and for how many steps each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from impasto.shared.settings import StyleSettings


@dataclass(frozen=True)
class Scale:
    """One stage of a run: `longer_px` is the longer side, `size_px` is (width, height)."""

    longer_px: int
    size_px: tuple[int, int]
    steps: int


def fitted(size: tuple[int, int], longer_px: int) -> tuple[int, int]:
    """(width, height) with that longer side and the same aspect, each at least 1 px."""
    width, height = size
    factor = longer_px / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def scales(settings: StyleSettings, content_size: tuple[int, int]) -> list[Scale]:
    """The stages for a content of (width, height) px, ascending; the last has the result's size.

    Sizes double from `coarsest_px`. One that comes nearer than √2 to the last is left out: it would cost
    nearly as much as the last and show nothing new.
    """
    last_px = round(_full_px(settings, content_size) * preview_factor(settings, content_size))
    stages: list[Scale] = []
    px = settings.coarsest_px
    while px is not None and px * math.sqrt(2) <= last_px:
        stages.append(Scale(px, fitted(content_size, px), settings.coarse_steps))
        px *= 2
    stages.append(Scale(last_px, fitted(content_size, last_px), settings.steps))
    return stages


def style_px(settings: StyleSettings, scale: Scale, content_size: tuple[int, int], longest: int) -> int:
    """The longer side of a style at a scale: that of the scale × `style_scale`, at most its own `longest`.

    In a preview the style's own side shrinks with the picture: a style too small for the full size gives
    finer strokes there, and so it does here.
    """
    own = longest * preview_factor(settings, content_size)
    return max(1, round(min(own, scale.longer_px * settings.style_scale)))


def preview_factor(settings: StyleSettings, content_size: tuple[int, int]) -> float:
    """How much smaller than the full picture this run's is, in (0, 1]."""
    if settings.preview_px is None:
        return 1.0
    return min(1.0, settings.preview_px / _full_px(settings, content_size))


def _full_px(settings: StyleSettings, content_size: tuple[int, int]) -> int:
    longest = max(content_size)
    return settings.size_px if settings.enlarge else min(settings.size_px, longest)


def planned_steps(settings: StyleSettings, content_size: tuple[int, int]) -> int:
    """How many evaluations of loss and gradient `stylize` does at most for a content of (width, height)
    px.
    """
    return sum(stage.steps for stage in scales(settings, content_size))
