"""What the optimisers share: the evaluation they call, the observer they tell, and the answer they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from impasto.shared.errors import Diverged
from impasto.worker.engine.checkpoint import OptimiserState, Snapshot, joined
from impasto.worker.engine.terms import Evaluation

Evaluate = Callable[[Tensor], Evaluation]
Observe = Callable[[Evaluation], None]
"""Called once after each evaluation with that of the picture the optimiser holds; may raise to stop the
run.
"""


class Stage:
    """What an optimiser starts from where a run goes on, and what it leaves for one that will.

    `resumed` is the state to go on from, None at a start. `snapshot` is set by the optimiser before each call
    of its observer.
    """

    def __init__(self, resumed: OptimiserState | None = None) -> None:
        self.resumed = resumed
        self.snapshot: Snapshot | None = None


def evaluation_state(held: Evaluation) -> OptimiserState:
    """An evaluation as a state; `evaluation_from` is its inverse."""
    values = [held.content, held.style, held.tv, held.total, float(held.finite)]
    return OptimiserState({"gradient": held.gradient, "values": torch.tensor(values, dtype=torch.float64)})


def evaluation_from(state: OptimiserState, device: torch.device) -> Evaluation:
    content, style, tv, total, finite = state.tensors["values"].tolist()
    return Evaluation(state.tensors["gradient"].to(device), content, style, tv, total, bool(finite))


@dataclass(frozen=True)
class Solution:
    """The best picture that was seen, its evaluation, and how many divergences were noticed and undone."""

    picture: Tensor
    evaluation: Evaluation
    recoveries: int


class Best:
    """Remembers the picture with the lowest finite loss."""

    def __init__(self, picture: Tensor, evaluation: Evaluation) -> None:
        """Raises Diverged if there is no finite loss to start from."""
        if not evaluation.finite:
            raise Diverged(
                f"the loss or its gradient is not finite at the first picture (total {evaluation.total}): "
                "lower the weights, or check that the network's weights are those meant"
            )
        self.picture = picture
        self.evaluation = evaluation

    def offer(self, picture: Tensor, evaluation: Evaluation) -> None:
        if evaluation.finite and evaluation.total < self.evaluation.total:
            self.picture, self.evaluation = picture, evaluation

    def state(self) -> OptimiserState:
        """The picture with its evaluation."""
        picture = OptimiserState({"picture": self.picture})
        return joined({"held": picture, "evaluation": evaluation_state(self.evaluation)})

    @classmethod
    def restored(cls, state: OptimiserState, device: torch.device) -> Self:
        """The inverse of `state`."""
        picture = state.part("held").tensors["picture"].to(device)
        return cls(picture, evaluation_from(state.part("evaluation"), device))
