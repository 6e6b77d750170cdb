"""How the losses go back to the features, added in place to the gradient that comes from deeper layers.

A style loss is a function of sums over positions: its derivative with respect to them is a small matrix a
layer, which autograd takes, and the way from there to the features is one matrix product. So a picture in
tiles, whose sums are known before its features are there again, goes back as a whole one does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.statistics import StyleSums, summands, with_summands
from impasto.worker.engine.targets import Targets
from impasto.worker.engine.terms import style_term

StyleSlopes = Mapping[str, tuple[Tensor, ...]]
"""By layer, the derivatives of the weighted style loss with respect to `summands` of its sums."""


def style_slopes(
    sums: Mapping[str, StyleSums], targets: Targets, settings: StyleSettings
) -> tuple[Tensor, StyleSlopes]:
    """The weighted style loss, (B,), of each layer's sums over all positions, and its slopes."""
    leaves = {
        name: tuple(value.detach().requires_grad_() for value in summands(layer))
        for name, layer in sums.items()
    }
    with torch.enable_grad():
        held = {name: with_summands(layer, leaves[name]) for name, layer in sums.items()}
        loss = settings.style_weight * style_term(held, targets, settings)
        flat = iter(torch.autograd.grad(loss.sum(), [leaf for name in leaves for leaf in leaves[name]]))
    return loss.detach(), {name: tuple(next(flat) for _ in leaves[name]) for name in leaves}


def add_style_slopes(
    gradient: Tensor, features: Tensor, slopes: tuple[Tensor, ...], weights: Tensor | None = None
) -> None:
    """Adds what the style loss says of features (B, C, H, W) to the gradient, of their shape.

    `slopes` are one layer's; `weights`, (1, 1, H, W), are those with which the sums were taken.
    """
    *first, second = (slope.to(features.dtype) for slope in slopes)
    both = second + second.transpose(1, 2)  # G is symmetric in F: each F_ik stands in a row and a column.
    rows, places = features.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)  # (B, H, W, C)
    if weights is None and gradient.dtype == features.dtype and places.is_contiguous():
        places.flatten(1, 2).baddbmm_(rows.flatten(1, 2), both)
    else:
        scaled = rows if weights is None else rows * weights.permute(0, 2, 3, 1)
        places.add_(torch.matmul(scaled, both.unsqueeze(1)))
    for mean_slope in first:
        share = mean_slope.unsqueeze(2).unsqueeze(3)  # (B, C, 1, 1)
        gradient.add_(share if weights is None else share * weights)


def add_content_slope(gradient: Tensor, features: Tensor, target: Tensor, factor: Tensor) -> Tensor:
    """Adds what the weighted content loss, `factor` (B,) × Σ (F − P)², says of features (B, C, H, W) to the
    gradient, of their shape; the loss, (B,).
    """
    difference = features - target
    gradient.add_(difference * (2 * factor).to(difference.dtype).view(-1, 1, 1, 1))
    # Not flattened first: rows of channels side by side would have to be copied.
    return factor * difference.square_().sum((1, 2, 3))
