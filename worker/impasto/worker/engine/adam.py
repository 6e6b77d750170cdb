"""Adam for pictures in [0, 1]: each step projected into the bounds, one that is not finite undone."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState
from impasto.worker.engine.terms import Evaluation

# Kingma and Ba 2015, with the longer first and shorter second memory that pictures like.
_BETAS: Final = (0.9, 0.99)
_EPSILON: Final = 1e-12
_NAMES: Final = ("picture", "losses", "settled", "recoveries", "first", "second", "moves", "rate")


class Adam:
    """An `Optimiser`. After an evaluation that is not finite, the best picture is taken up again at a tenth
    of the rate.
    """

    def __init__(self, start: Tensor, *, learning_rate: float) -> None:
        batch, device = start.shape[0], start.device
        self.picture = start.clamp(0, 1)
        self.losses = torch.zeros(batch, 4, dtype=torch.float64, device=device)
        self.settled = torch.zeros(batch, dtype=torch.bool, device=device)
        self.recoveries = torch.zeros(batch, dtype=torch.int64, device=device)
        self.first, self.second = torch.zeros_like(self.picture), torch.zeros_like(self.picture)
        self.moves = torch.zeros(batch, 1, 1, 1, dtype=start.dtype, device=device)
        self.rate = torch.full_like(self.moves, learning_rate)

    def begin(self, here: Evaluation) -> None:
        self.losses = here.terms.losses()
        self._learn(here.gradient)

    def propose(self) -> Tensor:
        unbiased = self.first / (1 - _BETAS[0] ** self.moves)
        spread = (self.second / (1 - _BETAS[1] ** self.moves)).sqrt_().add_(_EPSILON)
        return (self.picture - self.rate * unbiased / spread).clamp_(0, 1)

    def take(self, trial: Tensor, there: Evaluation, best: Tensor, best_losses: Tensor) -> None:
        finite = there.finite()
        self.recoveries += ~finite
        self.losses = torch.where(finite.unsqueeze(1), there.terms.losses(), best_losses)
        went = finite.view(-1, 1, 1, 1)
        self.picture = torch.where(went, trial, best)
        self.first, self.second, self.moves = (
            torch.where(went, value, 0) for value in (self.first, self.second, self.moves)
        )
        self.rate = torch.where(went, self.rate, self.rate / 10)
        self._learn(torch.where(went, there.gradient, 0))

    def _learn(self, gradient: Tensor) -> None:
        self.first = self.first.lerp(gradient, 1 - _BETAS[0])
        self.second = self.second.lerp(gradient.square(), 1 - _BETAS[1])
        self.moves = self.moves + 1

    def state(self) -> OptimiserState:
        return OptimiserState({name: getattr(self, name) for name in _NAMES})

    def restore(self, state: OptimiserState) -> None:
        for name in _NAMES:
            setattr(self, name, state.tensors[name].to(self.picture.device, copy=True))
