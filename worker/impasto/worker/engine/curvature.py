"""The curvature history of L-BFGS as one matrix.

Nocedal and Wright, Numerical Optimization, algorithm 7.4 (the two-loop recursion). All inner products that
the recursion needs are entries of the pairs' own Gram matrix, so it runs on a few numbers, and the long
vectors are touched by two matrix products a step.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState

# A pair whose cosine is below this holds more rounding than curvature.
_LEAST_COSINE: Final = 1e-6
# The inverse Hessian before any pair is the largest s·y ÷ y·y of the last few, where the textbook takes the
# newest: that is a mean weighted towards the stiff directions, too cautious for those not explored yet.
_SCALE_PAIRS: Final = 5


class CurvatureHistory:
    """The last `size` pairs (s: change of the picture, y: change of the gradient) of a problem of n
    numbers.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self._size = size
        # s and y of a pair lie side by side, so that the filled part is one contiguous matrix.
        self._pairs = torch.empty(size, 2, like.numel(), dtype=like.dtype, device=like.device)
        self._sy = np.zeros((size, size))
        self._yy = np.zeros((size, size))
        self._order: list[int] = []
        self.inverse_curvature: float | None = None

    def __len__(self) -> int:
        return len(self._order)

    def clear(self) -> None:
        """Forgets the pairs; `inverse_curvature`, the newest one's s·y ÷ y·y, is kept as a length to go
        by.
        """
        self._order.clear()

    def add(self, step: Tensor, change: Tensor) -> bool:
        """Takes a pair in, the oldest out if need be; False if it shows no positive curvature."""
        sy, ss, yy = (float(torch.dot(a, b)) for a, b in ((step, change), (step, step), (change, change)))
        if not sy > _LEAST_COSINE * (ss * yy) ** 0.5:
            return False
        slot = self._order.pop(0) if len(self) == self._size else len(self)
        self._order.append(slot)
        self._pairs[slot, 0] = step
        self._pairs[slot, 1] = change
        s_rows, y_rows = self._products(torch.stack((step, change)))
        filled = len(self)
        self._sy[:filled, slot] = s_rows[:, 1]
        self._sy[slot, :filled] = y_rows[:, 0]
        self._yy[:filled, slot] = self._yy[slot, :filled] = y_rows[:, 1]
        self.inverse_curvature = sy / yy
        return True

    def descent(self, gradient: Tensor) -> Tensor:
        """−H·gradient by the two-loop recursion, both (n,); needs at least one pair."""
        s_rows, y_rows = self._products(gradient.unsqueeze(0))
        sg, yg = s_rows[:, 0], y_rows[:, 0]
        filled = len(self)
        alpha, delta = np.zeros(filled), np.zeros(filled)
        recent = self._order[-_SCALE_PAIRS:]
        scale = max(self._sy[i, i] / self._yy[i, i] for i in recent)
        for i in reversed(self._order):
            alpha[i] = (sg[i] - self._sy[i, :filled] @ alpha) / self._sy[i, i]
        remaining = yg - self._yy[:filled, :filled] @ alpha
        for i in self._order:
            delta[i] = alpha[i] - (scale * remaining[i] + self._sy[:filled, i] @ delta) / self._sy[i, i]
        coefficients = torch.from_numpy(np.stack((-delta, scale * alpha), axis=1).ravel())
        rows = self._pairs[:filled].flatten(0, 1)  # (2·filled, n)
        return torch.addmv(gradient, rows.T, coefficients.to(rows), beta=-scale)

    def state(self) -> OptimiserState:
        """The pairs and their inner products; `restore` takes them back."""
        filled = len(self)
        return OptimiserState(
            {
                "pairs": self._pairs[:filled],
                "sy": torch.from_numpy(self._sy[:filled, :filled]),
                "yy": torch.from_numpy(self._yy[:filled, :filled]),
            },
            {"order": list(self._order), "inverse_curvature": self.inverse_curvature},
        )

    def restore(self, state: OptimiserState) -> None:
        """Becomes the history that `state` was taken of, which must have the same `size`."""
        self._order = list(state.numbers["order"])
        self.inverse_curvature = state.numbers["inverse_curvature"]
        filled = len(self)
        self._pairs[:filled] = state.tensors["pairs"].to(self._pairs)
        self._sy[:filled, :filled] = state.tensors["sy"].numpy()
        self._yy[:filled, :filled] = state.tensors["yy"].numpy()

    def _products(self, vectors: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Inner products of each s and of each y with each of (k, n) vectors, as two (filled, k) arrays."""
        rows = self._pairs[: len(self)].flatten(0, 1)
        table = (rows @ vectors.T).double().cpu().numpy().reshape(len(self), 2, -1)
        return table[:, 0], table[:, 1]
