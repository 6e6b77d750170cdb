"""3 × 3 convolutions by Winograd's minimal filtering, for CPUs that compute in float32.

Lavin and Gray 2016, *Fast Algorithms for Convolutional Neural Networks*, F(4×4, 3×3): a tile of 4 × 4 outputs
takes 36 multiplications a pair of channels instead of 144. oneDNN's direct convolutions run near the peak of
the processor already, so fewer operations are the one way to be faster; cuDNN chooses such algorithms by
itself. Everything is a matrix product on a piece of the picture that fits the cache.

The answer differs from the direct convolution's by some 10⁻⁶ of its norm.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

LEAST_CHANNELS: Final = 64
LEAST_CHANNEL_PAIRS: Final = 64 * 128
"""Below these the transforms cost more than the products save."""

_PIECE_BYTES: Final = 5 * 2**20
_KERNELS_A_PIECE: Final = 4
"""A piece that is too large for the cache costs less than one more reading of a kernel that is many times as
large."""

# The transforms of the input (Bᵀ), the kernel (G) and the output (Aᵀ), by the points 0, ±1, ±2 and ∞.
_INPUT: Final = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL: Final = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT: Final = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
# The place of the point (1, 1), whose share of the output is the same at each of the 16 positions.
_ONES: Final = 7


def gains(kernel: Tensor) -> bool:
    """Whether a convolution with this kernel (O, I, 3, 3) is faster this way, where it lies."""
    outputs, inputs = kernel.shape[:2]
    return (
        kernel.device.type == "cpu"
        and kernel.dtype == torch.float32
        and min(outputs, inputs) >= LEAST_CHANNELS
        and outputs * inputs >= LEAST_CHANNEL_PAIRS
    )


class TransformedKernel:
    """A kernel (O, I, 3, 3) for both directions: `forward` (36, I, O) and `backward` (36, O, I)."""

    def __init__(self, kernel: Tensor) -> None:
        self.forward = _transformed(kernel)
        self.backward = _transformed(kernel.flip(2, 3).transpose(0, 1))


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution with zero padding of x (B, I, H, W) with a transformed kernel (36, I, O): (B, O, H, W),
    both channels_last.
    """
    batch, _, height, width = x.shape
    answer = torch.empty(
        batch, kernel.shape[2], height, width, dtype=x.dtype, memory_format=torch.channels_last
    )
    for picture, place in zip(x.permute(0, 2, 3, 1), answer.permute(0, 2, 3, 1), strict=True):
        _convolve_one(picture, kernel, bias, place)
    return answer


def _transformed(kernel: Tensor) -> Tensor:
    """G·g·Gᵀ of each pair of channels, (O, I, 3, 3) → (36, I, O)."""
    outputs, inputs = kernel.shape[:2]
    both_ways = torch.kron(torch.tensor(_KERNEL), torch.tensor(_KERNEL))  # (36, 9)
    return (both_ways @ kernel.permute(2, 3, 1, 0).reshape(9, inputs * outputs)).view(36, inputs, outputs)


def _convolve_one(x: Tensor, kernel: Tensor, bias: Tensor | None, answer: Tensor) -> None:
    """x (H, W, I) into answer (H, W, O), a few rows of tiles at a time."""
    height, width, inputs = x.shape
    outputs = kernel.shape[2]
    down, across = -(-height // 4), -(-width // 4)
    framed = _framed(x, 4 * down + 2, 4 * across + 2)
    row, column, _ = framed.stride()
    to_input = torch.kron(torch.tensor(_INPUT), torch.tensor(_INPUT)).to(x.dtype)  # (36, 36)
    to_output = torch.kron(torch.tensor(_OUTPUT), torch.tensor(_OUTPUT)).to(x.dtype)  # (16, 36)
    row_bytes = 36 * across * max(inputs, outputs) * x.element_size()
    most = max(_PIECE_BYTES, kernel.numel() * kernel.element_size() // _KERNELS_A_PIECE)
    pieces = -(-down // max(1, most // row_bytes))
    rows = -(-down // pieces)
    # What one step reads, the step before it wrote: two buffers take turns.
    first, second = (x.new_empty(36 * rows * across * max(inputs, outputs)) for _ in range(2))
    for top in range(0, down, rows):
        count = min(rows, down - top)
        tiles = count * across
        # Overlapping 6 × 6 windows, four apart, as a view; the copy brings each pixel of a tile together.
        windows = framed.as_strided(
            (6, 6, count, across, inputs),
            (row, column, 4 * row, 4 * column, 1),
            framed.storage_offset() + 4 * top * row,
        )
        together = first[: 36 * tiles * inputs].view(36, -1)
        together.view(6, 6, count, across, inputs).copy_(windows)
        transformed = torch.mm(to_input, together, out=second[: 36 * tiles * inputs].view(36, -1))
        product = first[: 36 * tiles * outputs].view(36, tiles, outputs)
        torch.bmm(transformed.view(36, tiles, inputs), kernel, out=product)
        if bias is not None:
            product[_ONES].add_(bias)
        gathered = torch.mm(to_output, product.view(36, -1), out=second[: 16 * tiles * outputs].view(16, -1))
        pixels = gathered.view(4, 4, count, across, outputs).permute(2, 0, 3, 1, 4)
        place = answer[4 * top : 4 * (top + count)]
        if place.shape[0] == 4 * count and width == 4 * across:
            place.view(count, 4, across, 4, outputs).copy_(pixels)
        else:
            place.copy_(pixels.reshape(4 * count, 4 * across, outputs)[: place.shape[0], :width])


def _framed(x: Tensor, rows: int, columns: int) -> Tensor:
    """x (H, W, I) one down and one across in zeros of (rows, columns, I)."""
    height, width, inputs = x.shape
    framed = x.new_empty(rows, columns, inputs)
    framed[1 : height + 1, 1 : width + 1] = x
    for border in (framed[0], framed[height + 1 :], framed[:, 0], framed[:, width + 1 :]):
        border.zero_()
    return framed
