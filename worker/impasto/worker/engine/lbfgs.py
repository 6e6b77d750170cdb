"""L-BFGS for pictures that must stay in [0, 1], made so that it can't blow up.

torch's own, as the tutorial uses it, clamps the picture inside the closure: the optimiser never learns that
its step was cut, the curvature pairs lie, and now and then the loss leaps by orders of magnitude. Here

- the gradient is masked where a pixel sits at its bound and wants out (a projected quasi-Newton step, after
  Bertsekas 1982, "Projected Newton methods for optimization problems with simple constraints");
- the step is projected into the bounds, and the curvature pair is taken from the projected step;
- a step is taken if its loss is below the largest of the last few (nonmonotone, after Grippo, Lampariello and
  Lucidi 1986) plus a little for rounding noise, else the next one is shorter, by the parabola through what is
  known; after a few refusals the history is dropped;
- a loss or gradient that is not finite is a refusal, and the answer is the best picture seen.

Each of B pictures decides for itself, by masks: nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from impasto.worker.engine.checkpoint import OptimiserState, joined
from impasto.worker.engine.curvature import CurvatureHistory
from impasto.worker.engine.spectrum import Spectrum
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
# The length of a step after a refused one, as shares of that one's.
_SHORTEST: Final = 0.02
_LONGEST: Final = 0.5
# Where memory is short, long vectors are gone through in stretches of so many numbers, so that what is made
# of them on the way is small beside the picture.
_STRETCH: Final = 2**17


class Lbfgs:
    """An `Optimiser`. `history` is the number of curvature pairs.

    `thrifty` keeps them in bfloat16 and works in stretches, for pictures that leave no memory. `even` makes
    curvatures even by `Spectrum`, which takes a few more pictures' room.
    """

    def __init__(self, start: Tensor, *, history: int, thrifty: bool = False, even: bool = True) -> None:
        self.picture = start.clamp(0, 1).contiguous()
        batch, device = start.shape[0], start.device
        flat = self.picture.flatten(1)
        self._pairs = CurvatureHistory(history, flat, torch.bfloat16 if thrifty else start.dtype)
        self._direction = torch.empty_like(flat)
        self._gradient = torch.empty(0)
        self.losses = torch.zeros(batch, 4, dtype=torch.float64, device=device)
        self.settled = torch.zeros(batch, dtype=torch.bool, device=device)
        self.recoveries = torch.zeros(batch, dtype=torch.int64, device=device)
        self._recent = torch.zeros(batch, _MEMORY, dtype=torch.float64, device=device)
        self._refusals = torch.zeros(batch, dtype=torch.int64, device=device)
        self._length = torch.ones(batch, dtype=start.dtype, device=device)
        self._slope = torch.zeros(batch, dtype=torch.float64, device=device)
        self._filter: Callable[[Tensor], Tensor] = (
            Spectrum((start.shape[2], start.shape[3]), start) if even and not thrifty else _unfiltered
        )
        self._stretch = _STRETCH if thrifty else flat.shape[1]

    def begin(self, here: Evaluation) -> None:
        self.losses = here.terms.losses()
        self._recent += self.losses[:, 3:]
        self._gradient = here.gradient.flatten(1)
        for part in self._stretches():
            flat, slope, direction = self._at(part)
            direction.copy_(self._filter(slope * _free(flat, slope)))
        self._turn(None)

    def propose(self) -> Tensor:
        flat = torch.addcmul(self.picture.flatten(1), self._direction, self._length.unsqueeze(1))
        return flat.clamp_(0, 1).view_as(self.picture)

    def take(self, trial: Tensor, there: Evaluation, best: Tensor, best_losses: Tensor) -> None:
        finite = there.finite()
        total = there.terms.total.double()
        accepted = finite & (total <= self._recent.amax(1) * (1 + _NOISE)) & ~self.settled
        with_gradient = self._move(trial.flatten(1), there.gradient.flatten(1), accepted)

        self.losses = torch.where(accepted.unsqueeze(1), there.terms.losses(), self.losses)
        newer = torch.cat([self._recent[:, 1:], total.unsqueeze(1)], dim=1)
        self._recent = torch.where(accepted.unsqueeze(1), newer, self._recent)
        self._refusals = torch.where(accepted, 0, self._refusals + 1)
        shorter = torch.where(finite, self._shorter(total), 0.1 * self._length)
        restart = self._refusals == _REFUSALS_BEFORE_RESTART
        self.recoveries += (restart | ~finite) & ~self.settled
        restart &= self._pairs.known()
        self._pairs.clear(restart)
        self._length = torch.where(accepted | restart, 1.0, shorter)
        self.settled |= self._refusals >= _REFUSALS_BEFORE_END
        self._turn(with_gradient)

    def _shorter(self, total: Tensor) -> Tensor:
        """Where the parabola through the loss here, its slope along the direction, and the loss of a refused
        trial has its lowest point, within bounds.
        """
        rise = total - self.losses[:, 3] - self._length * self._slope
        lowest = -self._slope * self._length.double().square() / (2 * rise)
        return lowest.to(self._length).clamp(_SHORTEST * self._length, _LONGEST * self._length)

    def _move(self, trial: Tensor, gradient: Tensor, accepted: Tensor) -> Tensor:
        """Goes to the trial where it is accepted, and takes the step in as a curvature pair; the inner
        products of the history with the gradient that counts from there on, which is left, filtered, where
        the direction was.
        """
        self._pairs.open()
        column = accepted.unsqueeze(1)
        tables, squares = [], []
        for part in self._stretches():
            here, slope = self.picture.flatten(1)[:, part], self._gradient[:, part]
            there = torch.where(column, trial[:, part], here)
            slope_there = torch.where(column, gradient[:, part], slope)
            change = slope_there - slope
            step, filtered = self._pairs.write(part, there - here, self._filter(change))
            here.copy_(there)
            slope.copy_(slope_there)
            masked = slope * _free(here, slope)
            direction = self._direction[:, part].copy_(self._filter(masked))
            tables.append(self._pairs.products(part, (change, masked), (filtered, direction)).double())
            squares.append(step.square().sum(1).double())
        table = torch.stack(tables).sum(0)
        self._pairs.close(table[..., 0], torch.stack(squares).sum(0), accepted)
        return table[..., 1]

    def _turn(self, with_gradient: Tensor | None) -> None:
        """Takes a new direction; settles pictures of which every pixel is settled or held by its bound."""
        known = self._pairs.known()
        scale = self._pairs.scale()
        coefficients = None if with_gradient is None else self._pairs.coefficients(with_gradient, scale)
        sums = []
        for part in self._stretches():
            here, slope, direction = self._at(part)
            free = _free(here, slope)
            masked = slope * free
            direction *= -scale.to(masked).unsqueeze(1)
            if coefficients is not None:
                along_s, along_y = self._pairs.combined(part, coefficients, masked.dtype)
                direction += along_y
                direction.copy_(self._filter(direction)).add_(along_s).mul_(free)
            sums.append(
                torch.stack([(direction * masked).sum(1), direction.abs().sum(1), masked.abs().sum(1)])
            )
        along, change, steepness = torch.stack(sums).sum(0).double() / self._direction.shape[1]
        self.settled |= ~(steepness > 0)
        descends = known & (along < 0) & change.isfinite()
        self._pairs.clear(known & ~descends)

        straight = torch.where(scale > 0, scale, _FIRST_CHANGE / steepness)
        change = torch.where(descends, change, straight * steepness)
        reach = torch.where(self.settled, 0.0, (_LARGEST_CHANGE / change).clamp(max=1.0))
        curved, straight = (
            torch.where(which, reach * of, 0.0).to(self._direction).unsqueeze(1)
            for which, of in ((descends, 1.0), (~descends & ~self.settled, straight))
        )
        slopes = []
        for part in self._stretches():
            here, slope, direction = self._at(part)
            direction.nan_to_num_(0.0, 0.0, 0.0).mul_(curved)
            direction.addcmul_(slope * _free(here, slope), straight, value=-1)
            slopes.append((direction * slope).sum(1))
        self._slope = torch.stack(slopes).sum(0).double()

    def _at(self, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        return self.picture.flatten(1)[:, part], self._gradient[:, part], self._direction[:, part]

    def _stretches(self) -> Iterator[slice]:
        length = self._direction.shape[1]
        return (slice(start, start + self._stretch) for start in range(0, length, self._stretch))

    def state(self) -> OptimiserState:
        names = ("picture", "losses", "settled", "recoveries")
        own = {name: getattr(self, name) for name in names} | {
            name: getattr(self, f"_{name}") for name in _HIDDEN
        }
        return joined({"own": OptimiserState(own), "pairs": self._pairs.state()})

    def restore(self, state: OptimiserState) -> None:
        device = self.picture.device
        # Copies, since these are changed in place and the state may be restored again.
        for name, value in state.part("own").tensors.items():
            setattr(self, f"_{name}" if name in _HIDDEN else name, value.to(device, copy=True))
        self._pairs.restore(state.part("pairs"))


_HIDDEN: Final = ("direction", "gradient", "slope", "recent", "refusals", "length")


def _unfiltered(flat: Tensor) -> Tensor:
    return flat


def _free(picture: Tensor, gradient: Tensor) -> Tensor:
    """Which pixels no bound holds back."""
    return ~(((picture <= 0) & (gradient > 0)) | ((picture >= 1) & (gradient < 0)))
