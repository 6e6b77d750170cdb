"""How a run fits its memory budget: whole or in tiles, and with how long a curvature history.

Estimates err on the side of too much. They are made from settings, sizes and the machine's total memory,
never from what happens to be free: the same run must give the same bytes, whoever else is at work.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.network import Trunk
from impasto.worker.engine.tiles import halo_px, total_stride

CPU_SHARE: Final = 0.5
CUDA_SHARE: Final = 0.8
LEAST_HISTORY: Final = 2
"""Curvature pairs that L-BFGS keeps at the least, however small the budget."""

_PROCESS_BYTES: Final = 850_000_000
"""Interpreter, torch and the network's weights of a process on the CPU."""
_PICTURE_BYTES: Final = 12
"""A pixel of content, scene and result in 8 bits, with a copy to spare."""
_WORKING_VECTORS: Final = 18
"""Pictures and gradients that an optimiser holds at its peak besides its history."""
_THRIFTY_VECTORS: Final = 6
"""The same where it is thrifty: the picture, its gradient, the direction, the trial and its gradient, and the
best picture.
"""
_VECTOR_BYTES: Final = 3 * 4
_SHORT_HISTORY: Final = 10
"""A history this long costs up to a quarter more evaluations; tiles cost twice the time of each."""
_LARGEST_TILE_PX: Final = 2048
_SMALLEST_TILE_PX: Final = 256
_MARGIN: Final = 1.25
"""For what the layers do not say: the convolutions' own scratch memory and the allocator's gaps."""


@dataclass(frozen=True)
class MemoryPlan:
    """`tile_px` is about the side of a tile's core, None for whole evaluations; `history` is the number of
    curvature pairs, `thrifty` whether they are kept in bfloat16; `notes` say what was given up for the
    budget.
    """

    tile_px: int | None
    history: int
    thrifty: bool = False
    notes: tuple[str, ...] = ()


def default_budget_bytes(device: torch.device) -> int:
    """A share of the device's memory: 0.8 of a GPU's, 0.5 of the machine's or the container's."""
    if device.type == "cuda":
        return int(CUDA_SHARE * torch.cuda.get_device_properties(device).total_memory)
    return int(CPU_SHARE * min(_physical_bytes(), _container_bytes()))


def evaluation_bytes(trunk: Trunk, pixels: int) -> int:
    """Bytes that loss and gradient of `pixels` pixels take in one piece: the activations that are kept,
    and three of the widest for the way back.
    """
    item = torch.empty((), dtype=trunk.dtype).element_size()
    stride, kept, widest = 1, 0.0, 0.0
    for position, layer in enumerate(trunk.layers):
        stride *= 2 if layer.kind == "pool" else 1
        width = layer.outputs / stride**2
        if layer.kind == "conv":
            kept += width * item
        elif layer.kind == "pool":
            kept += width * (item + (0 if trunk.average else 8))
            # What it pools is a tensor of its own where the convolution's answer is wanted as it is.
            kept += 4 * width * item if position - 2 in trunk.wanted else 0
        if position in trunk.wanted and item < 4:
            kept += width * 4
        widest = max(widest, width * max(item, 4))
    return int((kept + 3 * widest) * pixels * _MARGIN)


def plan_memory(
    trunk: Trunk,
    settings: StyleSettings,
    size: tuple[int, int],
    *,
    stack: int = 1,
    steps: int,
    budget_bytes: int,
    device: torch.device,
) -> MemoryPlan:
    """How to run `steps` evaluations of a stack of pictures of (height, width) px within the budget, which on
    the CPU is that of the whole process.

    Whole evaluations while they leave room for a history of ten; else tiles, and that history if it fits;
    else a thrifty optimiser with the longest history that the rest allows. Where not even the least fits, the
    least is run all the same.
    """
    pixels = stack * size[0] * size[1]
    vector = _VECTOR_BYTES * pixels
    base = _PROCESS_BYTES + _PICTURE_BYTES * pixels if device.type == "cpu" else 0
    wished = min(settings.history, steps) if settings.optimizer == "lbfgs" else 0

    def room(working_vectors: int, evaluation: float) -> float:
        return budget_bytes - base - working_vectors * vector - evaluation

    def ample(tile_px: int | None, evaluation: float) -> MemoryPlan | None:
        """The plan with a history that is not cut short, if there is room for one."""
        left = room(_WORKING_VECTORS, evaluation)
        if left < 2 * vector * min(wished, _SHORT_HISTORY):
            return None
        return _noted(tile_px, min(wished, int(left // (2 * vector))), wished, thrifty=False)

    whole = ample(None, evaluation_bytes(trunk, pixels))
    if whole is not None:
        return whole
    tile_px = _tile_px(trunk, max(room(_THRIFTY_VECTORS, 0) / 4, room(_WORKING_VECTORS + 2 * wished, 0)))
    evaluation = evaluation_bytes(trunk, (tile_px + 2 * halo_px(trunk)) ** 2)
    tiled = ample(tile_px, evaluation)
    if tiled is not None:
        return tiled
    left = room(_THRIFTY_VECTORS, evaluation)
    history = max(min(wished, LEAST_HISTORY), min(wished, int(left // vector)))
    plan = _noted(tile_px, history, wished, thrifty=True)
    if history * vector <= left:
        return plan
    needed = int(budget_bytes - left + history * vector)
    short = (
        f"the memory budget of {budget_bytes} bytes is too small for {size[1]} × {size[0]} px: "
        f"about {needed} bytes are in use; use a smaller size_px or a larger budget"
    )
    return replace(plan, notes=(*plan.notes, short))


def smaller_tile_px(trunk: Trunk, size: tuple[int, int], tile_px: int | None) -> int | None:
    """The tile to try where the device ran out of memory; None where there is none smaller."""
    before = tile_px if tile_px is not None else max(size)
    smaller = _multiple(trunk, before / 2)
    return smaller if smaller < before else None


def _noted(tile_px: int | None, history: int, wished: int, *, thrifty: bool) -> MemoryPlan:
    notes = []
    if tile_px is not None:
        notes.append(f"evaluated in tiles of {tile_px} px to keep the memory budget")
    if history < wished:
        notes.append(f"curvature history of {history} instead of {wished} to keep the memory budget")
    if thrifty:
        notes.append("curvature history in bfloat16 to keep the memory budget")
    return MemoryPlan(tile_px, history, thrifty, tuple(notes))


def _tile_px(trunk: Trunk, room_bytes: float) -> int:
    side = (max(0.0, room_bytes) / evaluation_bytes(trunk, 1)) ** 0.5 - 2 * halo_px(trunk)
    return _multiple(trunk, min(side, _LARGEST_TILE_PX))


def _multiple(trunk: Trunk, side: float) -> int:
    stride = total_stride(trunk)
    return max(_SMALLEST_TILE_PX, int(side) // stride * stride)


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _container_bytes() -> float:
    """The control group's limit (version 2, then 1); infinite where there is none."""
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(limit).read_text())
        except (OSError, ValueError):
            continue
    return float("inf")
