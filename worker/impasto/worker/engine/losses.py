"""The losses, each a pure function of features or statistics. Every answer has shape (B,): one value a
picture.

Features are (B, C, H, W), N = C channels and M = H·W positions in the paper's letters. Sources: Gatys, Ecker
and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", equations 1 and 3 to 5; the
PyTorch tutorial's program for the `mean` and `elements` forms.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.statistics import Moments

# Keeps a relative loss finite where its target is zero throughout; far below any real feature's square.
_SMALLEST: Final = 1e-12


def content_factor(form: str, elements: int, target_squares: Tensor) -> Tensor:
    """What the content loss multiplies Σ (F − P)² by, (B,), of `elements` features a picture and a target
    with Σ P² = `target_squares`, (B,): the loss of a tile is its own sum times this factor of the whole.

    `mean`: the mean squared difference. `half_sum`: ½ Σ (F − P)², eq. 1. `relative`: the mean squared
    difference ÷ the target's own mean square.
    """
    if form == "half_sum":
        return torch.full_like(target_squares, 0.5)
    if form == "relative":
        return 1 / elements / (target_squares / elements).clamp_min(_SMALLEST)
    return torch.full_like(target_squares, 1 / elements)


def gram_loss(gram: Tensor, target: Tensor, form: str) -> Tensor:
    """How far Gram matrices a position (see `gram_compute`) are from the style's, both (B, C, C).

    `elements`: mean squared difference of G ÷ (C·M). `paper`: 1/(4N²M²) Σ (G − A)², eq. 4, with G and A each
    over its own M, which is the same where both pictures have the same size and goes on making sense where
    they don't. `relative`: Σ (G − A)² ÷ Σ A².
    """
    return _matrix_loss(gram, target, form)


def moments_loss(moments: Moments, target: Moments, form: str) -> Tensor:
    """How far mean and covariance are from the style's: the covariances compared as `gram_loss` compares Gram
    matrices, plus the means.

    The means' part: `elements`: mean squared difference ÷ C. `paper`: 1/(4N) Σ (μ − ν)². `relative`:
    Σ (μ − ν)² ÷ Σ ν².
    """
    squares = (moments.mean - target.mean).square()
    channels = squares.shape[1]
    if form == "paper":
        means = squares.sum(1) / (4 * channels)
    elif form == "relative":
        means = squares.sum(1) / target.mean.square().sum(1).clamp_min(_SMALLEST)
    else:
        means = squares.mean(1) / channels
    return means + _matrix_loss(moments.covariance, target.covariance, form)


def _matrix_loss(matrix: Tensor, target: Tensor, form: str) -> Tensor:
    squares = (matrix - target).square().flatten(1)
    channels = matrix.shape[1]
    if form == "paper":
        return squares.sum(1) / (4 * channels**2)
    if form == "relative":
        return squares.sum(1) / target.square().flatten(1).sum(1).clamp_min(_SMALLEST)
    return squares.mean(1) / channels**2


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of horizontal neighbours plus that of vertical ones, over RGB in [0, 1].

    Pictures are (B, 3, H, W); a direction without neighbours adds nothing. The squared form (Johnson et al.
    and neural-style use it too) has a gradient everywhere, which a quasi-Newton method needs.
    """
    total = torch.zeros(pictures.shape[0], dtype=pictures.dtype, device=pictures.device)
    for axis in (2, 3):
        if pictures.shape[axis] > 1:
            total = total + pictures.diff(dim=axis).square().flatten(1).mean(1)
    return total
