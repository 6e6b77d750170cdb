"""PIL pictures and tensors: there, back, and to another size."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from impasto.shared.errors import BadPicture
from impasto.worker.engine.scales import fitted

_MARGIN_PX: Final = 8
_BAND_ROWS: Final = 256


def check_picture(picture: Image.Image, role: str) -> None:
    """Raises BadPicture for a picture that is not RGB or has a single pixel; `role` names it in the
    message.
    """
    if picture.mode != "RGB":
        raise BadPicture(f"the {role} is of mode {picture.mode}: convert it to RGB first")
    if picture.width * picture.height <= 1:
        raise BadPicture(
            f"the {role} has {picture.width} × {picture.height} px and a single pixel has no scene: "
            "give a larger picture"
        )


def picture_digest(picture: Image.Image) -> str:
    """sha256 over size and pixels, hexadecimal."""
    digest = hashlib.sha256(f"{picture.mode} {picture.width} {picture.height} ".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at (width, height) px, by Lanczos over the pixels' areas, so that shrinking does not
    alias.
    """
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def shrunk(picture: Image.Image, longer_px: int) -> Image.Image:
    """The picture with its longer side at most `longer_px`; never enlarged."""
    return resized(picture, fitted(picture.size, min(longer_px, max(picture.size))))


def to_tensor(picture: Image.Image, device: torch.device) -> Tensor:
    """(1, 3, H, W), float32, in [0, 1]."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8))  # (H, W, 3)
    return pixels.to(device).permute(2, 0, 1).unsqueeze(0).float().div_(255)


def to_picture(pixels: Tensor) -> Image.Image:
    """The RGB picture of (1, 3, H, W) in [0, 1], rounded to the nearest of 256 levels.

    Rounded and not cut off: cutting darkens by half a level, which costs more loss than many steps gain.
    """
    _, _, height, width = pixels.shape
    levels = torch.empty(height, width, 3, dtype=torch.uint8)
    # In bands of rows, as a large picture's floats take many times its bytes.
    for top in range(0, height, _BAND_ROWS):
        band = pixels.detach()[0, :, top : top + _BAND_ROWS]
        levels[top : top + _BAND_ROWS] = band.mul(255).round_().clamp_(0, 255).permute(1, 2, 0)
    return Image.fromarray(levels.numpy())


def framed(pictures: Tensor, padding: str) -> Tensor:
    """Pictures (B, 3, H, W) as the network should see them: for `reflect`, in a margin of their own mirror
    image.

    The zeros that convolutions put around a picture are an edge to them, and edges are what a style loss
    paints over. A mirror has no edge; whatever the zeros still spoil lies in the margin.
    """
    down, across = frame_margin((pictures.shape[2], pictures.shape[3]), padding)
    if down == across == 0:
        return pictures
    return F.pad(pictures, (across, across, down, down), mode="reflect")


def unframed(gradient: Tensor, margins: tuple[int, int]) -> Tensor:
    """The derivative with respect to pictures, (B, 3, H, W), of one with respect to what `framed` made of
    them with margins (down, across). Written out, since on CUDA the one of `F.pad` adds up a corner's four
    parts in any order.
    """
    for axis, margin in zip((2, 3), margins, strict=True):
        if margin:
            side = gradient.shape[axis] - 2 * margin
            first, last = gradient.narrow(axis, 0, margin), gradient.narrow(axis, margin + side, margin)
            gradient = gradient.narrow(axis, margin, side).clone()
            # The mirror stands on the border pixel, which is in no margin itself.
            gradient.narrow(axis, 1, margin).add_(first.flip(axis))
            gradient.narrow(axis, side - 1 - margin, margin).add_(last.flip(axis))
    return gradient


def frame_margin(size: tuple[int, int], padding: str) -> tuple[int, int]:
    """How many pixels (down, across) `framed` puts on each side of a picture of (height, width) px."""
    if padding != "reflect":
        return 0, 0
    return min(_MARGIN_PX, size[0] - 1), min(_MARGIN_PX, size[1] - 1)


def rescaled(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 3, H, W) brought to (width, height) px by bicubic interpolation, in [0, 1]."""
    width, height = size
    return F.interpolate(pixels, size=(height, width), mode="bicubic", align_corners=False).clamp_(0, 1)


def noise(size: tuple[int, int], seed: int, device: torch.device) -> Tensor:
    """White noise of (width, height) px, uniform in [0, 1], (1, 3, H, W): the same on every device."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator).to(device)
