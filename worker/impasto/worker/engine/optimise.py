"""What the optimisers share: the evaluation they call, the observer they tell, and the answer they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from impasto.shared.errors import Diverged
from impasto.worker.engine.objective import Evaluation

Evaluate = Callable[[Tensor], Evaluation]
Observe = Callable[[Evaluation], None]
"""Called once after each evaluation with that of the picture the optimiser holds; may raise to stop the
run.
"""


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
