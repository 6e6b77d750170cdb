"""Masks: where in the picture the style applies.

Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", arXiv 1611.07865, section 4
("guided Gram matrices"): each position counts in the style's statistics as much as the mask says there. Where
it says nothing, only the content loss is left, and the photograph stays.
"""

from __future__ import annotations

from typing import Final

import torch
from PIL import Image
from torch import Tensor

from impasto.shared.errors import BadPicture
from impasto.worker.engine.images import framed, resized, to_tensor
from impasto.worker.engine.network import Trunk, pool

# Keeps a mask that poolings have left nothing of at some depth from dividing by zero.
_SMALLEST: Final = 1e-12


def check_mask(mask: Image.Image, content: Image.Image) -> None:
    """Raises BadPicture for a mask that is not of mode L, not of the content's size, or black throughout."""
    if mask.mode != "L":
        raise BadPicture(f"the mask is of mode {mask.mode}: convert it to L, white where the style applies")
    if mask.size != content.size:
        raise BadPicture(
            f"the mask has {mask.width} × {mask.height} px, "
            f"the content {content.width} × {content.height} px: "
            "give the mask the content's size"
        )
    if mask.getbbox() is None:
        raise BadPicture("the mask is black throughout: paint it white where the style applies")


def position_weights(
    mask: Image.Image, size: tuple[int, int], trunk: Trunk, padding: str, device: torch.device
) -> dict[str, Tensor]:
    """How much each position counts, by the trunk's layers, (1, 1, H, W) with a mean of one.

    The mask is brought to the picture's (width, height) and from there down as the trunk brings features
    down.
    """
    x = framed(to_tensor(resized(mask, size).convert("RGB"), device), padding)[:, :1]
    weights: dict[str, Tensor] = {}
    for position, layer in enumerate(trunk.layers):
        if layer.kind == "pool":
            x = pool(x, average=True)
        for name in trunk.wanted.get(position, ()):
            weights[name] = x / x.mean().clamp_min(_SMALLEST)
    return weights
