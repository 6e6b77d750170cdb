"""Style statistics of feature maps, each as two pure functions: update (sums from a chunk) and compute (value
from sums).

Sums over positions do not care how the positions were cut up, so a whole picture and its tiles give the same
value. Shapes: a chunk of features is (B, C, H, W) or any (B, C, …) of positions; sums keep the leading B.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class GramSums:
    """`positions` counted so far; `second` is Σ_k F_ik F_jk, (B, C, C)."""

    positions: int
    second: Tensor


def gram_update(sums: GramSums | None, chunk: Tensor, weights: Tensor | None = None) -> GramSums:
    """Adds the chunk's positions, each as often as `weights`, (1, 1, H, W), say: once without them.

    Weights have a mean of one over all positions, so that the positions' number stays theirs.
    """
    flat = chunk.flatten(2)  # (B, C, M)
    second = _weighted(flat, weights) @ flat.transpose(1, 2)  # (B, C, C)
    if sums is None:
        return GramSums(flat.shape[2], second)
    return GramSums(sums.positions + flat.shape[2], sums.second + second)


def _weighted(flat: Tensor, weights: Tensor | None) -> Tensor:
    return flat if weights is None else flat * weights.flatten(2)


def gram_compute(sums: GramSums) -> Tensor:
    """The Gram matrix a position, Σ_k F_ik F_jk ÷ M, (B, C, C).

    The seed text's `gram_matrix` is this ÷ C, the paper's G (eq. 3) this × M.
    """
    return sums.second / sums.positions


@dataclass(frozen=True)
class MomentSums:
    """`positions` counted so far; `first` is Σ_k F_ik, (B, C); `second` is Σ_k F_ik F_jk, (B, C, C)."""

    positions: int
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Moments:
    """Mean (B, C) and covariance (B, C, C) over positions."""

    mean: Tensor
    covariance: Tensor


def moments_update(sums: MomentSums | None, chunk: Tensor, weights: Tensor | None = None) -> MomentSums:
    """Adds the chunk's positions, weighted as in `gram_update`."""
    gram = gram_update(None, chunk, weights)
    first = _weighted(chunk.flatten(2), weights).sum(2)
    if sums is None:
        return MomentSums(gram.positions, first, gram.second)
    return MomentSums(sums.positions + gram.positions, sums.first + first, sums.second + gram.second)


def moments_compute(sums: MomentSums) -> Moments:
    """E[F] and cov(F, F) = E[(F − E[F])(F − E[F])ᵀ], as E[F Fᵀ] − E[F] E[F]ᵀ; the ÷ M is over all
    positions.
    """
    mean = sums.first / sums.positions
    outer = mean.unsqueeze(2) * mean.unsqueeze(1)
    return Moments(mean, torch.sub(sums.second / sums.positions, outer))


StyleSums = GramSums | MomentSums
Statistic = Tensor | Moments


def style_update(
    sums: StyleSums | None, chunk: Tensor, statistic: str, weights: Tensor | None = None
) -> StyleSums:
    """Adds the chunk's positions to the sums of that statistic, weighted as in `gram_update`.

    `wasserstein` compares what `covariance` does, in another way: their sums are the same.
    """
    if statistic in ("covariance", "wasserstein"):
        return moments_update(sums if isinstance(sums, MomentSums) else None, chunk, weights)
    return gram_update(sums if isinstance(sums, GramSums) else None, chunk, weights)


def style_compute(sums: StyleSums) -> Statistic:
    """`gram_compute` or `moments_compute`, as the sums ask for."""
    return moments_compute(sums) if isinstance(sums, MomentSums) else gram_compute(sums)


def summands(sums: StyleSums) -> tuple[Tensor, ...]:
    """The tensors in the sums, in the order of their fields."""
    values = (getattr(sums, field.name) for field in fields(sums))
    return tuple(value for value in values if isinstance(value, Tensor))


def with_summands(sums: StyleSums, tensors: tuple[Tensor, ...]) -> StyleSums:
    """The same positions with other tensors in place of `summands(sums)`."""
    names = [field.name for field in fields(sums) if isinstance(getattr(sums, field.name), Tensor)]
    changes: dict[str, Any] = dict(zip(names, tensors, strict=True))
    return replace(sums, **changes)


def combined(sums: StyleSums | None, more: StyleSums) -> StyleSums:
    """The sums over two disjoint sets of positions, in float64: a large picture has many tiles."""
    tensors = tuple(value.double() for value in summands(more))
    if sums is not None:
        tensors = tuple(a + b for a, b in zip(summands(sums), tensors, strict=True))
    total = replace(more, positions=more.positions + (sums.positions if sums is not None else 0))
    return with_summands(total, tensors)
