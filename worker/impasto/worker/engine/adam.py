"""Adam for a picture in [0, 1]: each step projected into the bounds, one that is not finite undone."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.optimise import Best, Evaluate, Observe, Solution

# Kingma and Ba 2015, with the longer first and shorter second memory that pictures like.
_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-12


def minimise_adam(
    evaluate: Evaluate, start: Tensor, *, steps: int, learning_rate: float, observe: Observe
) -> Solution:
    """The best picture within `steps` evaluations from `start`, (1, 3, H, W) in [0, 1].

    After an evaluation that is not finite, the best picture is taken up again at a tenth of the rate. Raises
    Diverged if the first evaluation is not finite, and whatever `evaluate` or `observe` raise.
    """
    picture = start.clamp(0, 1)
    here = evaluate(picture)
    best = Best(picture, here)
    observe(here)
    first, second = torch.zeros_like(picture), torch.zeros_like(picture)
    recoveries, moves = 0, 0
    for done in range(2, steps + 1):
        moves += 1
        first = first.lerp(here.gradient, 1 - _BETAS[0])
        second = second.lerp(here.gradient.square(), 1 - _BETAS[1])
        unbiased = first / (1 - _BETAS[0] ** moves)
        spread = (second / (1 - _BETAS[1] ** moves)).sqrt()
        trial = (picture - learning_rate * unbiased / (spread + _EPSILON)).clamp_(0, 1)
        there = evaluate(trial)
        if there.finite:
            picture, here = trial, there
            best.offer(picture, here)
        else:
            recoveries += 1
            picture, here = best.picture, best.evaluation
            first, second, moves = torch.zeros_like(picture), torch.zeros_like(picture), 0
            learning_rate /= 10
        observe(here if done < steps else best.evaluation)
    return Solution(best.picture, best.evaluation, recoveries)
