"""L-BFGS for a picture that must stay in [0, 1], made so that it can't blow up.

torch's own, as the tutorial uses it, clamps the picture inside the closure: the optimiser never learns that
its step was cut, the curvature pairs lie, and now and then the loss leaps by orders of magnitude. Here

- the gradient is masked where a pixel sits at its bound and wants out (a projected quasi-Newton step, after
  Bertsekas 1982, "Projected Newton methods for optimization problems with simple constraints");
- the step is projected into the bounds, and the curvature pair is taken from the projected step;
- a step is taken if its loss is below the largest of the last few (nonmonotone, after Grippo, Lampariello and
  Lucidi 1986) plus a little for rounding noise, else it is halved; after a few refusals the history is
  dropped;
- a loss or gradient that is not finite is a refusal, and the answer is the best picture seen.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState, joined
from impasto.worker.engine.curvature import CurvatureHistory
from impasto.worker.engine.optimise import (
    Best,
    Evaluate,
    Observe,
    Solution,
    Stage,
    evaluation_from,
    evaluation_state,
)
from impasto.worker.engine.terms import Evaluation

_MEMORY: Final = 5
_NOISE: Final = 1e-3
_REFUSALS_BEFORE_RESTART: Final = 4
_REFUSALS_BEFORE_END: Final = 12
# Mean changes of a pixel value in [0, 1]: of the first step, before any curvature is known, and of any step.
# Far from the answer the loss is nearly straight along its gradient, and steps by the curvature seen there
# would have no measure.
_FIRST_CHANGE: Final = 0.05
_LARGEST_CHANGE: Final = 0.1


def minimise_lbfgs(
    evaluate: Evaluate,
    start: Tensor,
    *,
    steps: int,
    history: int,
    observe: Observe,
    stage: Stage | None = None,
) -> Solution:
    """The best picture within `steps` evaluations from `start`, (1, 3, H, W) in [0, 1].

    Ends sooner only where no step lowers the loss any more. With `stage.resumed` it goes on from there as if
    it had never stopped, and only the size of `start` counts. Raises Diverged if the first evaluation is not
    finite, and whatever `evaluate` or `observe` raise.
    """
    stage = stage if stage is not None else Stage()
    pairs = CurvatureHistory(min(history, steps), start)
    direction: Tensor | None
    if stage.resumed is not None:
        state, device = stage.resumed, start.device
        own = state.part("own")
        picture = own.tensors["picture"].to(device)
        here = evaluation_from(state.part("here"), device)
        best = Best.restored(state.part("best"), device)
        pairs.restore(state.part("pairs"))
        direction = own.tensors["direction"].to(device) if "direction" in own.tensors else None
        recent = deque(own.numbers["recent"], maxlen=_MEMORY)
        recoveries, refusals, done = (own.numbers[name] for name in ("recoveries", "refusals", "done"))
        length = own.numbers["length"]
    else:
        picture = start.clamp(0, 1)
        here = evaluate(picture)
        best = Best(picture, here)
        recent = deque([here.total], maxlen=_MEMORY)
        recoveries, refusals, length, done = 0, 0, 1.0, 1
        direction = _direction(picture, here, pairs)

    def snapshot() -> OptimiserState:
        tensors = {"picture": picture} | ({"direction": direction} if direction is not None else {})
        numbers = {
            "recent": list(recent),
            "recoveries": recoveries,
            "refusals": refusals,
            "length": length,
            "done": done,
        }
        return joined(
            {
                "own": OptimiserState(tensors, numbers),
                "here": evaluation_state(here),
                "best": best.state(),
                "pairs": pairs.state(),
            }
        )

    stage.snapshot = snapshot
    if stage.resumed is None:
        observe(here)
    while done < steps and direction is not None:
        trial = (picture + length * direction).clamp_(0, 1)
        there = evaluate(trial)
        done += 1
        best.offer(trial, there)
        if there.finite and there.total <= max(recent) * (1 + _NOISE):
            pairs.add((trial - picture).flatten(), (there.gradient - here.gradient).flatten())
            picture, here = trial, there
            recent.append(here.total)
            refusals, length = 0, 1.0
            direction = _direction(picture, here, pairs)
        else:
            refusals += 1
            length *= 0.5 if there.finite else 0.1
            if refusals == _REFUSALS_BEFORE_RESTART or not there.finite:
                recoveries += 1
            if refusals == _REFUSALS_BEFORE_RESTART and len(pairs):
                pairs.clear()
                length = 1.0
                direction = _direction(picture, here, pairs)
            elif refusals == _REFUSALS_BEFORE_END:
                direction = None
        observe(here if done < steps and direction is not None else best.evaluation)
    return Solution(best.picture, best.evaluation, recoveries)


def _direction(picture: Tensor, here: Evaluation, pairs: CurvatureHistory) -> Tensor | None:
    """Where to go from here, in the picture's shape; None where every pixel is settled or held by its
    bound.
    """
    gradient = here.gradient
    free = ~(((picture <= 0) & (gradient > 0)) | ((picture >= 1) & (gradient < 0)))
    masked = gradient * free
    slope = float(masked.abs().mean())
    if slope == 0.0:
        return None
    if len(pairs):
        descent = pairs.descent(masked.flatten()).view_as(masked) * free
        if float((descent * masked).sum()) < 0:
            return _capped(descent)
        pairs.clear()
    steepest = -masked * (pairs.inverse_curvature or _FIRST_CHANGE / slope)
    return _capped(steepest) if bool(torch.isfinite(steepest).all()) else None


def _capped(step: Tensor) -> Tensor:
    return step * min(1.0, _LARGEST_CHANGE / float(step.abs().mean()))
