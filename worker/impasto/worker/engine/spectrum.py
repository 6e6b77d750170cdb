"""A change of variables in which a picture's curvature is more even: by spatial frequency and by colour.

The style losses bend most along slow changes of colour and least along fine detail, by a factor of hundreds.
L-BFGS learns that from its steps, one pair at a time; told beforehand, it needs fewer. The filter L scales a
picture's spectrum by f^(−p/2) (f in cycles a pixel), with powers of their own for luminance and for the two
colour differences.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_LUMINANCE_POWER: Final = 0.5
_CHROMA_POWER: Final = 0.8
_CHROMA_SHARE: Final = 0.3

# Luminance and two colour differences, orthonormal.
_COLOURS: Final = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


class Spectrum:
    """The filter for pictures of (height, width) px: linear, symmetric, positive."""

    def __init__(self, size: tuple[int, int], like: Tensor) -> None:
        height, width = size
        self._size = size
        down = torch.fft.fftfreq(height, device=like.device).unsqueeze(1)
        across = torch.fft.rfftfreq(width, device=like.device).unsqueeze(0)
        frequency = (down.square() + across.square()).sqrt().clamp_min(1 / max(size))
        bands = torch.stack(
            [
                frequency ** (-_LUMINANCE_POWER / 2),
                *[_CHROMA_SHARE**0.5 * frequency ** (-_CHROMA_POWER / 2)] * 2,
            ]
        )
        self._bands = (bands / bands[0].square().mean().sqrt()).to(like.dtype)
        self._colours = torch.tensor(_COLOURS, dtype=like.dtype, device=like.device)

    def __call__(self, flat: Tensor) -> Tensor:
        """L x of pictures (B, n), n = 3·height·width, in the order of (3, height, width)."""
        colours = torch.matmul(self._colours, flat.view(flat.shape[0], 3, -1))
        waves = torch.fft.rfft2(colours.view(-1, 3, *self._size)) * self._bands
        even = torch.fft.irfft2(waves, s=self._size).flatten(2)
        return torch.matmul(self._colours.T, even).flatten(1)
