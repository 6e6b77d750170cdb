"""Washes on paper: transparent pigment that darkens at the rim, runs, blooms and granulates."""

from __future__ import annotations

import numpy as np

from impasto.producer.demo.fields import Field, blur, grid, noise, smoothstep
from impasto.producer.demo.scenes import rgb

PAPER = "fbf6ea"

Window = tuple[slice, slice]


class Sheet:
    """Paper and the optical density that pigment has added to it, channel by channel."""

    def __init__(self, size_px: int, rng: np.random.Generator) -> None:
        self.size_px = size_px
        self.rng = rng
        self.x, self.y = grid(size_px)
        self.tooth = noise(rng, size_px, 150, octaves=3, gain=0.7)
        self._flow = noise(rng, size_px, 7, octaves=4, gain=0.6)
        self._fringe = noise(rng, size_px, 20, octaves=4, gain=0.62)
        self._density = np.zeros((size_px, size_px, 3), np.float32)

    def around(self, cx: float, cy: float, reach: float) -> Window:
        """The square of half side `reach` about a point, cut at the sheet's borders and never empty."""
        spans = []
        for centre in (cy, cx):
            first = int(np.clip((centre - reach) * self.size_px, 0, self.size_px - 2))
            last = int(np.clip((centre + reach) * self.size_px + 1, first + 2, self.size_px))
            spans.append(slice(first, last))
        return spans[0], spans[1]

    def wash(
        self,
        window: Window,
        level: Field,
        pigment: str,
        strength: float,
        *,
        ragged: float = 0.008,
        soft: float = 0.0012,
        rim: float = 0.6,
        pooling: float = 0.35,
        granulation: float = 0.12,
        load: Field | float = 1.0,
    ) -> None:
        """Lays one wash over a window of the sheet.

        `level` is the distance to the wash's edge in unit coordinates, positive inside; `ragged` how far the
        edge strays, `soft` how far it bleeds (0.001: dry paper, 0.03: wet paper). `strength` 1 gives the
        pigment's own colour; `rim`, `pooling` and `granulation` are shares of it.
        """
        flow, fringe, tooth = (field[window] for field in (self._flow, self._fringe, self.tooth))
        edge = level + ragged * (fringe + 0.12 * tooth)
        inside = smoothstep(-soft, soft, edge)
        # Water evaporates fastest at the edge and carries pigment there.
        width = 0.0042 + 1.2 * soft
        dried = np.exp(-np.maximum(edge, 0) / width) * inside * (1 if soft < 0.006 else 0)
        body = inside * np.maximum(0.82 + pooling * flow * 0.5, 0.12)
        amount = (
            strength
            * np.asarray(load, np.float32)
            * (body + rim * dried)
            * np.maximum(1 + granulation * tooth, 0.1)
        )
        self._density[window] += amount[..., None] * -np.log(np.clip(rgb(pigment), 0.02, 0.995))

    def lift(self, window: Window, amount: Field) -> None:
        """Takes pigment off again: `amount` 1 leaves bare paper."""
        self._density[window] *= 1 - np.clip(amount, 0, 1)[..., None]

    def bloom(self, cx: float, cy: float, radius: float) -> None:
        """A backrun: water dropped into a drying wash pushes its pigment out into a frilled line."""
        window = self.around(cx, cy, radius * 1.9)
        r = np.hypot(self.x[window] - cx, self.y[window] - cy)
        edge = radius - r + 0.30 * radius * self._fringe[window] * 0.6
        inside = smoothstep(-0.002, 0.004, edge)
        line = np.exp(-((edge / 0.005) ** 2))
        self._density[window] *= (1 - 0.45 * inside * smoothstep(2.2 * radius, 0, edge) + 0.40 * line)[
            ..., None
        ]

    def dried(self) -> Field:
        """The picture [size_px, size_px, 3] in 0…1: light through the pigment, off the paper and back."""
        down, right = np.gradient(blur(self.tooth, 0.6 * self.size_px / 768))
        shade = np.asarray(1 + np.clip(0.030 * (down + right), -0.06, 0.06))
        return np.asarray(rgb(PAPER) * np.exp(-self._density) * shade[..., None], np.float32)
