"""Loss and gradient within a memory plan, and once in smaller tiles where the device runs out of memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from impasto.shared.errors import OutOfDeviceMemory
from impasto.worker.engine.device import device_memory
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
        self._evaluate: Callable[[Tensor], Evaluation] | None = None
        try:
            self._evaluate = build(plan.tile_px)
        except OutOfDeviceMemory as error:
            self._choose_smaller(error)

    def __call__(self, picture: Tensor) -> Evaluation:
        # Built anew only after the error is gone, since its frames hold what filled the memory.
        try:
            # Around a recorded evaluation copies are made that it knows nothing of.
            with device_memory(picture.device):
                return self._built()(picture)
        except OutOfDeviceMemory as error:
            self._choose_smaller(error)
        return self._built()(picture)

    def _built(self) -> Callable[[Tensor], Evaluation]:
        if self._evaluate is None:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._evaluate = self._build(self._tile_px)
        return self._evaluate

    def _choose_smaller(self, error: OutOfDeviceMemory) -> None:
        """Gives up the objective and half the tile's side; raises the error where that is not to be had."""
        smaller = smaller_tile_px(self._trunk, self._size, self._tile_px)
        if self._fell_back or smaller is None:
            raise error
        self._fell_back = True
        self._tile_px = smaller
        self._evaluate = None
        self.notes = (*self.notes, f"the device ran out of memory: went on in tiles of {smaller} px")
