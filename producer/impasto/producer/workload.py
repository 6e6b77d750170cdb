"""How much there is to compute for a pair, by its settings and its content's size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from impasto.shared.settings import StyleSettings

_PIXELS_A_MEGAPIXEL: Final = 1e6


@dataclass(frozen=True)
class Workload:
    """A pair's result in (width, height) px, and its evaluations of loss and gradient × their megapixels."""

    size_px: tuple[int, int]
    megapixel_steps: float

    @property
    def megapixels(self) -> float:
        return self.size_px[0] * self.size_px[1] / _PIXELS_A_MEGAPIXEL


def workload(settings: StyleSettings, content_px: tuple[int, int]) -> Workload:
    """What a worker will do for a content of (width, height) px: its scales, as the engine plans them."""
    longest = max(content_px)
    full_px = settings.size_px if settings.enlarge else min(settings.size_px, longest)
    last_px = full_px if settings.preview_px is None else min(full_px, settings.preview_px)
    stages = [(last_px, settings.steps)]
    px = settings.coarsest_px
    while px is not None and px * math.sqrt(2) <= last_px:
        stages.append((px, settings.coarse_steps))
        px *= 2
    work = sum(steps * _pixels(content_px, side) for side, steps in stages) / _PIXELS_A_MEGAPIXEL
    return Workload(_fitted(content_px, last_px), work)


def _fitted(size: tuple[int, int], longer_px: int) -> tuple[int, int]:
    factor = longer_px / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _pixels(size: tuple[int, int], longer_px: int) -> int:
    width, height = _fitted(size, longer_px)
    return width * height
