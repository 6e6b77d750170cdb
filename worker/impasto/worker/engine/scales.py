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

    Sizes double from `coarsest_px`. One that comes nearer than √2 to the full size is left out: it would cost
    nearly as much as the last and show nothing new.
    """
    longest = max(content_size)
    full_px = settings.size_px if settings.enlarge else min(settings.size_px, longest)
    stages: list[Scale] = []
    px = settings.coarsest_px
    while px is not None and px * math.sqrt(2) <= full_px:
        stages.append(Scale(px, fitted(content_size, px), settings.coarse_steps))
        px *= 2
    stages.append(Scale(full_px, fitted(content_size, full_px), settings.steps))
    return stages


def planned_steps(settings: StyleSettings, content_size: tuple[int, int]) -> int:
    """How many evaluations of loss and gradient `stylize` does at most for a content of (width, height)
    px.
    """
    return sum(stage.steps for stage in scales(settings, content_size))
