"""Loss and gradient within a memory plan, and once in smaller tiles where the device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.shared.errors import OutOfDeviceMemory
from impasto.worker.engine.memory import MemoryPlan, smaller_tile_px
from impasto.worker.engine.network import Trunk
from impasto.worker.engine.terms import Evaluation

Build = Callable[[int | None], Callable[[Tensor], Evaluation]]
"""Makes the objective, targets included, for tiles of so many pixels, or for whole evaluations."""


class Evaluator:
    """An objective that is built anew, once, in tiles of half the side, after OutOfDeviceMemory.

    `notes` says so.
    """

    def __init__(self, build: Build, trunk: Trunk, size: tuple[int, int], plan: MemoryPlan) -> None:
        self._build = build
        self._trunk = trunk
        self._size = size
        self._tile_px = plan.tile_px
        self.notes = plan.notes
        self._fell_back = False
        try:
            self._evaluate = build(plan.tile_px)
        except OutOfDeviceMemory as error:
            self._fall_back(error)

    def __call__(self, picture: Tensor) -> Evaluation:
        try:
            return self._evaluate(picture)
        except OutOfDeviceMemory as error:
            self._fall_back(error)
        return self._evaluate(picture)

    def _fall_back(self, error: OutOfDeviceMemory) -> None:
        smaller = smaller_tile_px(self._trunk, self._size, self._tile_px)
        if self._fell_back or smaller is None:
            raise error
        self._fell_back = True
        self._tile_px = smaller
        self.notes = (*self.notes, f"the device ran out of memory: went on in tiles of {smaller} px")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._evaluate = self._build(smaller)
