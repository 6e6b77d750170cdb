"""The curvature history of L-BFGS as one matrix a picture, and its descent direction without a recursion.

Byrd, Nocedal and Schnabel 1994, "Representations of quasi-Newton matrices and their use in limited memory
methods", theorem 2.2: with S and Y the changes of picture and gradient side by side, R the upper triangle of
SᵀY, D its diagonal and γ the inverse curvature before any pair,

    H = γ I + S R⁻ᵀ (D + γ YᵀY) R⁻¹ Sᵀ − γ S R⁻ᵀ Yᵀ − γ Y R⁻¹ Sᵀ.

It is what the two-loop recursion computes, in a few small products and two triangular solves, with nothing
for the host to wait for. The long vectors are read twice a step: once for their inner products with what is
new, once for the direction.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState

# A pair whose cosine is below this holds more rounding than curvature.
_LEAST_COSINE: Final = 1e-6
# γ is the largest s·y ÷ y·y of the last few pairs, where the textbook takes the newest: that is a mean
# weighted towards the stiff directions, too cautious for those not explored yet.
_SCALE_PAIRS: Final = 5


class CurvatureHistory:
    """The last `size` pairs (s, y) of B problems of n numbers each.

    Every step writes one pair, of all problems into the same slot; whose count is told apart. In `dtype`
    bfloat16 the pairs take half the memory. Under a change of variables x = L z, an s stays as it is and what
    is kept as y is L y, so that Sᵀy is of the one space and YᵀY of the other, and both are what they should.
    """

    def __init__(self, size: int, like: Tensor, dtype: torch.dtype) -> None:
        batch, self._length = like.shape
        self._size = size
        self._pairs = torch.empty(batch, size, 2, self._length, dtype=dtype, device=like.device)
        self._sy = torch.zeros(batch, size, size, dtype=torch.float64, device=like.device)
        self._yy = torch.zeros_like(self._sy)
        self._valid = torch.zeros(batch, size, dtype=torch.bool, device=like.device)
        self._last_scale = self._sy.new_zeros(batch)
        self._written = 0

    @property
    def filled(self) -> int:
        """Slots that have been written."""
        return min(self._written, self._size)

    def open(self) -> None:
        """Makes the oldest pair's slot the new pair's, which `write` fills and `close` judges."""
        self._written += 1

    def write(self, part: slice, step: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """A stretch of the new pair, each (B, k), and back as they are kept: rounded to the history's
        dtype.
        """
        place = self._pairs[:, self._newest, :, part]
        place[:, 0] = step
        place[:, 1] = change
        return place[:, 0].to(step.dtype), place[:, 1].to(change.dtype)

    def products(self, part: slice, with_s: tuple[Tensor, Tensor], with_y: tuple[Tensor, Tensor]) -> Tensor:
        """Inner products over a stretch: of each s with two vectors (B, k), of each y with two others:
        (B, filled, 2 (s, y), 2).
        """
        pairs = self._pairs[:, : self.filled, :, part]
        return torch.stack(
            [
                torch.bmm(pairs[:, :, row].to(one.dtype), torch.stack((one, other), dim=1).mT)
                for row, (one, other) in enumerate((with_s, with_y))
            ],
            dim=2,
        )

    def close(self, with_change: Tensor, square: Tensor, counts: Tensor) -> None:
        """Takes in the inner products of each s and of each y with the new y, (B, filled, 2), the new s·s,
        (B,), and whether the new pair counts, (B,). One that shows no positive curvature never does.
        """
        filled, new = self.filled, self._newest
        self._sy[:, :filled, new] = with_change[:, :, 0]
        self._yy[:, :filled, new] = self._yy[:, new, :filled] = with_change[:, :, 1]
        sy, yy = with_change[:, new, 0], with_change[:, new, 1]
        valid = counts & (sy > _LEAST_COSINE * (square * yy).sqrt())
        self._valid[:, new] = valid
        self._last_scale = torch.where(valid, sy / yy, self._last_scale)

    def clear(self, which: Tensor) -> None:
        """Forgets the pairs of those problems, (B,); their newest s·y ÷ y·y is kept as a length to go by."""
        self._valid &= ~which.unsqueeze(1)

    def known(self) -> Tensor:
        """Which problems have any pair, (B,)."""
        return self._valid.any(1)

    def scale(self) -> Tensor:
        """γ, (B,), float64: zero where no pair was ever seen."""
        if not self.filled:
            return self._last_scale
        sy, yy = (self._by_age(m.diagonal(dim1=1, dim2=2)) for m in (self._sy, self._yy))
        seen = torch.where(self._by_age(self._valid), sy / yy, 0)
        largest = seen[:, -_SCALE_PAIRS:].amax(1)
        return torch.where(largest > 0, largest, self._last_scale)

    def coefficients(self, with_gradient: Tensor, scale: Tensor) -> Tensor:
        """What each s and y counts in −H g but for −γ g, of their inner products with g: both are
        (B, filled, 2).
        """
        valid = self._by_age(self._valid)
        both = valid.unsqueeze(1) & valid.unsqueeze(2)
        sy, yy = (torch.where(both, self._by_age(m, 1, 2), 0) for m in (self._sy, self._yy))
        sg, yg = torch.where(valid.unsqueeze(2), self._by_age(with_gradient), 0).unbind(2)
        triangle = sy.triu() + torch.diag_embed((~valid).double())
        gamma = scale.view(-1, 1, 1)
        ahead = torch.linalg.solve_triangular(triangle, sg.unsqueeze(2), upper=True)
        middle = sy.diagonal(dim1=1, dim2=2).unsqueeze(2) * ahead + gamma * (yy @ ahead - yg.unsqueeze(2))
        along_s = torch.linalg.solve_triangular(triangle.transpose(1, 2), middle, upper=False)
        return torch.cat([-along_s, gamma * ahead], dim=2).roll(self._oldest, 1)

    def combined(self, part: slice, coefficients: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A stretch of the sum of all s, and of that of all y, with these coefficients, (B, k) each."""
        pairs = self._pairs[:, : self.filled, :, part]
        along_s, along_y = (
            torch.bmm(coefficients[:, :, row].to(dtype).unsqueeze(1), pairs[:, :, row].to(dtype)).squeeze(1)
            for row in (0, 1)
        )
        return along_s, along_y

    def state(self) -> OptimiserState:
        """The pairs and their inner products; `restore` takes them back."""
        filled = self.filled
        return OptimiserState(
            {
                "pairs": self._pairs[:, :filled],
                "sy": self._sy,
                "yy": self._yy,
                "valid": self._valid,
                "last_scale": self._last_scale,
            },
            {"written": self._written},
        )

    def restore(self, state: OptimiserState) -> None:
        """Becomes the history that `state` was taken of, which must have the same `size`."""
        self._written = state.numbers["written"]
        self._pairs[:, : self.filled] = state.tensors["pairs"].to(self._pairs)
        for name in ("sy", "yy", "valid", "last_scale"):
            own: Tensor = getattr(self, f"_{name}")
            own.copy_(state.tensors[name])

    @property
    def _newest(self) -> int:
        return (self._written - 1) % self._size

    @property
    def _oldest(self) -> int:
        return (self._written - self.filled) % self._size

    def _by_age(self, slots: Tensor, *axes: int) -> Tensor:
        """Its filled slots along those axes, by default the second, the oldest first."""
        for axis in axes or (1,):
            # Rolled and not indexed: for a list of indices, copied to the device, the host would wait.
            slots = slots.narrow(axis, 0, self.filled).roll(-self._oldest, axis)
        return slots
