"""How near an evaluation comes to the machine's matrix products."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, Final

import torch

from impasto.worker.engine.network import Trunk

_SIDE: Final = 2048


def gemm_flops_per_second(rounds: int = 5) -> float:
    """Of a square float32 product, the best of several."""
    left, right = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return 2 * _SIDE**3 / min(seconds)


def evaluation_flops(trunk: Trunk, style_layers: Collection[str], pixels: int) -> float:
    """Additions and multiplications of loss and gradient: each direct convolution there and back, and each
    style layer's Gram matrix there and back.
    """
    total, stride = 0.0, 1
    for position, layer in enumerate(trunk.layers):
        if layer.kind == "pool":
            stride *= 2
        positions = pixels / stride**2
        if layer.kind == "conv":
            total += 2 * 2 * 9 * layer.inputs * layer.outputs * positions
        if not set(style_layers).isdisjoint(trunk.wanted.get(position, ())):
            total += 2 * 2 * layer.outputs**2 * positions
    return total


def share_of_peak(flops: float, seconds: float) -> dict[str, Any]:
    """The evaluation's rate against that of a matrix product. Winograd's algorithm does with fewer operations
    than are counted here, so that the share may pass one.
    """
    peak = gemm_flops_per_second()
    return {
        "gemm_gflops_per_second": peak / 1e9,
        "direct_gflop": flops / 1e9,
        "share_of_gemm_peak": flops / seconds / peak,
    }
