"""The loop that every optimiser runs in: it proposes pictures, is told their losses, and the best is kept.

All of it works on a stack of B pictures, each of which goes its own way and comes to its own end. What the
optimisers decide they decide on the device; the host reads a few numbers once a step, after all the step's
work has been handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto.shared.errors import Diverged
from impasto.worker.engine.checkpoint import OptimiserState, Snapshot, joined
from impasto.worker.engine.terms import Evaluation, Losses

Evaluate = Callable[[Tensor], Evaluation]


Observe = Callable[[list[Losses]], None]
"""Called once after each evaluation with the losses of the pictures that the optimiser holds; may raise to
stop the run.
"""


class Optimiser(Protocol):
    """One method of descent on pictures (B, 3, H, W) in [0, 1].

    `picture` is what it holds, `losses` their weighted losses (B, 4) as `Terms.losses` gives them; `settled`,
    (B,), says which pictures can't be made better; `recoveries`, (B,), how many divergences were noticed and
    undone.
    """

    picture: Tensor
    losses: Tensor
    settled: Tensor
    recoveries: Tensor

    def begin(self, here: Evaluation) -> None:
        """Takes in the losses of the picture that it starts from."""

    def propose(self) -> Tensor:
        """The pictures to evaluate next. They may share memory with what is proposed later."""

    def take(self, trial: Tensor, there: Evaluation, best: Tensor, best_losses: Tensor) -> None:
        """Takes in what came of the pictures that were proposed; `best` are the best ones seen so far."""

    def state(self) -> OptimiserState:
        """All that another needs to go on."""

    def restore(self, state: OptimiserState) -> None:
        """Becomes the one that `state` was taken of."""


class Stage:
    """What an optimiser starts from where a run goes on, and what it leaves for one that will.

    `resumed` is the state to go on from, None at a start. `snapshot` is set before each call of the observer.
    """

    def __init__(self, resumed: OptimiserState | None = None) -> None:
        self.resumed = resumed
        self.snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Solution:
    """The best pictures that were seen, (B, 3, H, W), their losses, and how many divergences were noticed and
    undone at each.
    """

    picture: Tensor
    losses: list[Losses]
    recoveries: list[int]


def minimise(
    optimiser: Optimiser,
    evaluate: Evaluate,
    *,
    steps: int,
    observe: Observe,
    stage: Stage | None = None,
) -> Solution:
    """The best pictures within `steps` evaluations from where the optimiser stands.

    Ends sooner only where all pictures are settled. With `stage.resumed` it goes on from there as if it had
    never stopped, and of the optimiser only the pictures' shape counts. Raises Diverged if the first
    evaluation is not finite, and whatever `evaluate` or `observe` raise.
    """
    stage = stage if stage is not None else Stage()
    if stage.resumed is not None:
        optimiser.restore(stage.resumed.part("optimiser"))
        best = stage.resumed.part("best").tensors
        best_picture = best["picture"].to(optimiser.picture, copy=True)
        best_losses = best["losses"].to(optimiser.losses, copy=True)
        done: int = stage.resumed.part("loop").numbers["done"]
    else:
        here = evaluate(optimiser.picture)
        _check_start(here)
        optimiser.begin(here)
        del here
        best_picture, best_losses = optimiser.picture.clone(), optimiser.losses.clone()
        done = 1

    def snapshot() -> OptimiserState:
        return joined(
            {
                "optimiser": optimiser.state(),
                "best": OptimiserState({"picture": best_picture, "losses": best_losses}),
                "loop": OptimiserState({}, {"done": done}),
            }
        )

    stage.snapshot = snapshot
    told, settled = _told(optimiser.losses, optimiser.settled)
    if stage.resumed is None:
        observe(told)
    while done < steps and not settled:
        trial = optimiser.propose()
        there = evaluate(trial)
        done += 1
        better = there.finite() & (there.terms.total < best_losses[:, 3]) & ~optimiser.settled
        torch.where(better.view(-1, 1, 1, 1), trial, best_picture, out=best_picture)
        torch.where(better.unsqueeze(1), there.terms.losses(), best_losses, out=best_losses)
        optimiser.take(trial, there, best_picture, best_losses)
        del trial, there
        told, settled = _told(optimiser.losses, optimiser.settled)
        observe(told if done < steps and not settled else _told(best_losses, optimiser.settled)[0])
    told, _ = _told(best_losses, optimiser.settled)
    return Solution(best_picture, told, [int(count) for count in optimiser.recoveries.tolist()])


def _told(losses: Tensor, settled: Tensor) -> tuple[list[Losses], bool]:
    """The losses as plain numbers, and whether all is settled: the one place where the host waits."""
    rows = torch.cat([losses, settled.unsqueeze(1)], dim=1).tolist()
    return [Losses(*row[:4]) for row in rows], all(row[4] for row in rows)


def _check_start(here: Evaluation) -> None:
    if not bool(here.finite().all()):
        raise Diverged(
            "the loss or its gradient is not finite at the first picture "
            f"(total {', '.join(str(total) for total in here.terms.total.tolist())}): "
            "lower the weights, or check that the network's weights are those meant"
        )
