"""The weighted terms of the total that is minimised: α L_content + β L_style (Gatys et al. 2016, eq. 7) and
total variation.

Content layers are summed. Style layers are summed with their weights; in the `relative` form they are
averaged, so that the style weight means the same however many layers there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.losses import gram_loss, moments_loss
from impasto.worker.engine.statistics import Moments, Statistic, StyleSums, style_compute
from impasto.worker.engine.targets import Targets
from impasto.worker.engine.wasserstein import Gaussian, wasserstein_loss


class Losses(NamedTuple):
    """The weighted losses of one picture."""

    content: float
    style: float
    tv: float
    total: float


@dataclass(frozen=True)
class Terms:
    """The losses with their weights, each (B,)."""

    content: Tensor
    style: Tensor
    tv: Tensor

    @property
    def total(self) -> Tensor:
        return self.content + self.style + self.tv

    def losses(self) -> Tensor:
        """The terms and their total side by side, (B, 4), float64, in the order of `Losses`."""
        columns = (self.content, self.style, self.tv, self.total)
        return torch.stack([column.detach().double() for column in columns], dim=1)


def style_term(sums: Mapping[str, StyleSums], targets: Targets, settings: StyleSettings) -> Tensor:
    """L_style (eq. 5) without its weight β, (B,), of each style layer's sums over all positions."""
    layer_weights = settings.style_layer_weights or (1.0,) * len(settings.style_layers)
    losses = [
        weight * _style_loss(style_compute(sums[name]), targets.style[name], settings.style_normalisation)
        for name, weight in zip(settings.style_layers, layer_weights, strict=True)
    ]
    style = torch.stack(losses).sum(0)
    return style / len(losses) if settings.style_normalisation == "relative" else style


def _style_loss(statistic: Statistic, target: Statistic, form: str) -> Tensor:
    if isinstance(statistic, Moments) and isinstance(target, Gaussian):
        return wasserstein_loss(statistic, target, form)
    if isinstance(statistic, Moments) and isinstance(target, Moments):
        return moments_loss(statistic, target, form)
    if isinstance(statistic, Tensor) and isinstance(target, Tensor):
        return gram_loss(statistic, target, form)
    raise TypeError("the statistic and its target are of different kinds")


@dataclass(frozen=True)
class Evaluation:
    """Weighted losses of B pictures, each (B,), and the gradient of their totals, of the pictures' shape."""

    terms: Terms
    gradient: Tensor

    def told(self) -> list[Losses]:
        """The losses as plain numbers, for which the host waits."""
        return [Losses(*row) for row in self.terms.losses().tolist()]

    def finite(self) -> Tensor:
        """Which pictures' loss and gradient are finite throughout, (B,)."""
        return self.terms.total.isfinite() & self.gradient.flatten(1).sum(1).isfinite()
