"""The weighted terms of the total that is minimised: α L_content + β L_style (Gatys et al. 2016, eq. 7) and
total variation.

Content layers are summed. Style layers are summed with their weights; in the `relative` form they are
averaged, so that the style weight means the same however many layers there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.losses import gram_loss, moments_loss
from impasto.worker.engine.statistics import Moments, Statistic, StyleSums, style_compute
from impasto.worker.engine.targets import Targets
from impasto.worker.engine.wasserstein import Gaussian, wasserstein_loss


@dataclass(frozen=True)
class Terms:
    """The losses with their weights, each (B,)."""

    content: Tensor
    style: Tensor
    tv: Tensor

    @property
    def total(self) -> Tensor:
        return self.content + self.style + self.tv


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
    """Loss and gradient at one picture. `gradient` has the picture's shape; losses are plain numbers."""

    gradient: Tensor
    content: float
    style: float
    tv: float
    total: float
    finite: bool


def evaluation(terms: Terms, gradient: Tensor) -> Evaluation:
    """What is told of one picture (1, 3, H, W): the only place where the host waits for the device."""
    told = torch.stack(
        [terms.content[0], terms.style[0], terms.tv[0], terms.total[0], gradient.isfinite().all()]
    )
    content, style, tv, value, finite = told.detach().tolist()
    return Evaluation(gradient, content, style, tv, value, math.isfinite(value) and bool(finite))
