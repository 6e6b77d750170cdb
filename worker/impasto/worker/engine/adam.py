"""Adam for a picture in [0, 1]: each step projected into the bounds, one that is not finite undone."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState, joined
from impasto.worker.engine.optimise import (
    Best,
    Evaluate,
    Observe,
    Solution,
    Stage,
    evaluation_from,
    evaluation_state,
)

# Kingma and Ba 2015, with the longer first and shorter second memory that pictures like.
_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-12


def minimise_adam(
    evaluate: Evaluate,
    start: Tensor,
    *,
    steps: int,
    learning_rate: float,
    observe: Observe,
    stage: Stage | None = None,
) -> Solution:
    """The best picture within `steps` evaluations from `start`, (1, 3, H, W) in [0, 1].

    After an evaluation that is not finite, the best picture is taken up again at a tenth of the rate. With
    `stage.resumed` it goes on from there as if it had never stopped. Raises Diverged if the first evaluation
    is not finite, and whatever `evaluate` or `observe` raise.
    """
    stage = stage if stage is not None else Stage()
    if stage.resumed is not None:
        state, device = stage.resumed, start.device
        own = state.part("own")
        picture, first, second = (own.tensors[name].to(device) for name in ("picture", "first", "second"))
        here = evaluation_from(state.part("here"), device)
        best = Best.restored(state.part("best"), device)
        recoveries, moves, done = (own.numbers[name] for name in ("recoveries", "moves", "done"))
        learning_rate = own.numbers["learning_rate"]
    else:
        picture = start.clamp(0, 1)
        here = evaluate(picture)
        best = Best(picture, here)
        first, second = torch.zeros_like(picture), torch.zeros_like(picture)
        recoveries, moves, done = 0, 0, 1

    def snapshot() -> OptimiserState:
        tensors = {"picture": picture, "first": first, "second": second}
        numbers = {"recoveries": recoveries, "moves": moves, "done": done, "learning_rate": learning_rate}
        return joined(
            {
                "own": OptimiserState(tensors, numbers),
                "here": evaluation_state(here),
                "best": best.state(),
            }
        )

    stage.snapshot = snapshot
    if stage.resumed is None:
        observe(here)
    while done < steps:
        moves += 1
        first = first.lerp(here.gradient, 1 - _BETAS[0])
        second = second.lerp(here.gradient.square(), 1 - _BETAS[1])
        unbiased = first / (1 - _BETAS[0] ** moves)
        spread = (second / (1 - _BETAS[1] ** moves)).sqrt()
        trial = (picture - learning_rate * unbiased / (spread + _EPSILON)).clamp_(0, 1)
        there = evaluate(trial)
        done += 1
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
