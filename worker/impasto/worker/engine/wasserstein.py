"""How far the features' Gaussian is from the style's, by the Wasserstein-2 distance.

Of two Gaussians with means μ, ν and covariances Σ, S its square is ‖μ − ν‖² + tr(Σ + S − 2(S^½ Σ S^½)^½)
(Olkin and Pukelsheim 1982; Dowson and Landau 1982): the least mean square way by which one cloud of points
can be carried into the other.

The root's derivative has no bound where a covariance is singular, and that of `torch.linalg.eigh` none where
eigenvalues meet; features have both, since a flat picture's covariance is zero and a small picture has fewer
positions than channels. So both covariances get a little of the identity, and the derivative is written down
instead of taken through the eigenvectors. Everything C × C is in float64: the value is a difference of traces
that are nearly the same near the target.

A decomposition costs O(C³): 46 ms for 512 channels, 8 ms for 256, 1.4 ms for 128 (one thread of a processor
with AVX2), whatever the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from impasto.worker.engine.statistics import Moments

BLUR: Final = 1e-4
"""The variance that each channel of both sides gets, as a part of the style's mean square a channel. The
rounding of float32 sums came to 0.02 to 0.3 of it at the layers of `gallery` (spectral norm, 128 px).
"""

# Where a style's features are zero throughout.
_SMALLEST: Final = 1e-12


@dataclass(frozen=True)
class Gaussian(Moments):
    """A style's mean and covariance, and what follows from them alone, (B, …) in float64.

    `variance` is what each channel gets in addition, (B,); `root` is (S + variance · I)^½, (B, C, C);
    `squares` is E‖P‖² = ‖ν‖² + tr S, (B,).
    """

    root: Tensor
    variance: Tensor
    squares: Tensor


def gaussian(moments: Moments) -> Gaussian:
    """The style's side of `wasserstein_loss`, once a target."""
    mean, covariance = moments.mean.double(), moments.covariance.double()
    squares = mean.square().sum(1) + _trace(covariance).clamp_min(0)
    variance = (BLUR * squares / mean.shape[1]).clamp_min(_SMALLEST)
    values, vectors = _eigen(_blurred(covariance, variance))
    # Rounding can leave an eigenvalue below the variance that was just added to it.
    roots = values.maximum(variance.unsqueeze(1)).sqrt()
    root = (vectors * roots.unsqueeze(1)) @ vectors.transpose(1, 2)
    return Gaussian(moments.mean, moments.covariance, root=root, variance=variance, squares=squares)


def wasserstein_loss(moments: Moments, target: Gaussian, form: str) -> Tensor:
    """The squared Wasserstein-2 distance between two Gaussians, both with `target.variance` more in each
    channel, (B,): never negative, and zero where mean and covariance are the target's.

    `elements`: ÷ C². `paper`: ÷ 4C. So the means weigh as they do in `moments_loss`. `relative`: ÷ E‖P‖², the
    mean square of the style's own features, which is its distance to features that are zero throughout.
    """
    covariance = _blurred(moments.covariance.double(), target.variance)
    means = (moments.mean.double() - target.mean.double()).square().sum(1)
    traces = _trace(covariance) + target.root.square().sum((1, 2))
    shared: Tensor = _RootTrace.apply(covariance, target.root, target.variance)
    distance = means + (traces - 2 * shared).clamp_min(0)
    channels = covariance.shape[1]
    if form == "paper":
        distance = distance / (4 * channels)
    elif form == "relative":
        distance = distance / target.squares.clamp_min(_SMALLEST)
    else:
        distance = distance / channels**2
    return distance.to(moments.mean.dtype)


class _RootTrace(torch.autograd.Function):
    """tr((A Σ A)^½) of Σ and A (B, C, C), and its derivative with respect to Σ, ½ A (A Σ A)^−½ A."""

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, root: Tensor, variance: Tensor) -> Tensor:
        product = root @ covariance @ root
        values, vectors = _eigen((product + product.transpose(1, 2)) / 2)
        # Neither Σ nor A² has an eigenvalue below the variance, but for rounding.
        roots: Tensor = values.maximum(variance.square().unsqueeze(1)).sqrt()
        if ctx.needs_input_grad[0]:
            turned = root @ vectors
            ctx.save_for_backward((turned / (2 * roots).unsqueeze(1)) @ turned.transpose(1, 2))
        return roots.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient.view(-1, 1, 1) * slope, None, None


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (B, C) and eigenvectors (B, C, C) of symmetric matrices; NaN for one that is not finite,
    where `eigh` would raise: the optimiser undoes what it can see.
    """
    finite = matrices.isfinite().flatten(1).all(1)
    identity = torch.eye(matrices.shape[1], dtype=matrices.dtype, device=matrices.device)
    values, vectors = torch.linalg.eigh(torch.where(finite.view(-1, 1, 1), matrices, identity))
    return values.where(finite.unsqueeze(1), torch.nan), vectors


def _blurred(covariance: Tensor, variance: Tensor) -> Tensor:
    identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    return covariance + variance.view(-1, 1, 1) * identity


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)
