"""Forty pairs of pictures as people send them, and worse: photographs, paintings, textures, flat colours,
noise and black, each as content with each as style, in odd shapes; then strips and rows. The same for the
same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product

import numpy as np
import torch
from PIL import Image

from impasto.producer.demo.painter import MANNERS, paint
from impasto.worker.engine import Network, StyleSettings, TargetCache
from impasto.worker.engine.images import shrunk, to_tensor
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.scales import scales, style_px
from impasto.worker.engine.targets import compute_targets

Size = tuple[int, int]
Kind = Callable[[np.random.Generator, Size], Image.Image]

_PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "retina.jpg",
)
_TEXTURES = ("brick.png", "grass.png", "gravel.png", "page.png")


@dataclass(frozen=True)
class OddPair:
    name: str
    content: Image.Image
    style: Image.Image


def odd_pairs(size_px: int, seed: int = 0) -> list[OddPair]:
    """RGB pictures with a longer side of `size_px`, sides mostly no multiples of anything."""
    rng = np.random.default_rng(seed)
    pairs = [
        OddPair(
            f"{content} × {style}",
            KINDS[content](rng, _size(rng, size_px)),
            KINDS[style](rng, _size(rng, size_px)),
        )
        for content, style in product(KINDS, KINDS)
    ]
    strip, row = (size_px, max(1, size_px // 10)), (1, size_px)
    for name, size, content, style in (
        ("lying strip", strip, "photograph", "painting"),
        ("standing strip", strip[::-1], "painting", "photograph"),
        ("column of one", row, "photograph", "noise"),
        ("row of one", row[::-1], "noise", "texture"),
    ):
        look = KINDS[style](rng, _size(rng, size_px))
        pairs.append(OddPair(f"{name} × {style}", KINDS[content](rng, size), look))
    return pairs


def rescored(pair: OddPair, settings: StyleSettings, network: Network, picture: Image.Image) -> float:
    """The loss of a finished picture of 8 bits, evaluated anew."""
    scale = scales(settings, pair.content.size)[-1]
    look = shrunk(pair.style, style_px(settings, scale, pair.content.size, max(pair.style.size)))
    aims = compute_targets(pair.content, look, settings, network, torch.float32, TargetCache())
    (losses,) = Objective(aims, settings, network, torch.float32)(to_tensor(picture, network.device)).told()
    return losses.total


def _size(rng: np.random.Generator, size_px: int) -> Size:
    sides = (size_px, int(rng.integers(max(2, size_px // 2), size_px + 1)))
    return sides if rng.random() < 0.5 else sides[::-1]


def _photograph(rng: np.random.Generator, size: Size) -> Image.Image:
    return _part(rng, _file(str(rng.choice(_PHOTOGRAPHS))), size)


def _painting(rng: np.random.Generator, size: Size) -> Image.Image:
    return _part(rng, _painted(str(rng.choice(sorted(MANNERS)))), size)


def _texture(rng: np.random.Generator, size: Size) -> Image.Image:
    """A photographed one, or stripes and checkers as narrow as one pixel."""
    if rng.random() < 0.5:
        return _part(rng, _file(str(rng.choice(_TEXTURES))), size)
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    period = int(rng.integers(1, 4))
    squares = (across // period + (down // period if rng.random() < 0.5 else 0)) % 2
    colours = rng.integers(0, 256, (2, 3), dtype=np.uint8)
    return Image.fromarray(colours[squares])


def _flat(rng: np.random.Generator, size: Size) -> Image.Image:
    red, green, blue = (int(value) for value in rng.choice([0, 127, 255], 3))
    return Image.new("RGB", size, (red, green, blue))


def _noise(rng: np.random.Generator, size: Size) -> Image.Image:
    """Uniform, of two levels only, or nearly flat."""
    shape = (size[1], size[0], 3)
    return Image.fromarray(
        (
            rng.integers(0, 256, shape, dtype=np.uint8),
            np.uint8(255) * rng.integers(0, 2, shape, dtype=np.uint8),
            rng.integers(126, 130, shape, dtype=np.uint8),
        )[int(rng.integers(3))]
    )


def _black(rng: np.random.Generator, size: Size) -> Image.Image:
    return Image.new("RGB", size)


KINDS: dict[str, Kind] = {
    "photograph": _photograph,
    "painting": _painting,
    "texture": _texture,
    "flat": _flat,
    "noise": _noise,
    "black": _black,
}


def _part(rng: np.random.Generator, picture: Image.Image, size: Size) -> Image.Image:
    """A random part of the picture of that shape, brought to that size."""
    factor = min(picture.width / size[0], picture.height / size[1]) * rng.uniform(0.5, 1)
    width, height = (max(1.0, side * factor) for side in size)
    left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
    box = (left, top, left + width, top + height)
    return picture.resize(size, Image.Resampling.LANCZOS, box=box)


@cache
def _file(name: str) -> Image.Image:
    with (resources.files("skimage") / "data" / name).open("rb") as stream:
        return Image.open(stream).convert("RGB")


@cache
def _painted(manner: str) -> Image.Image:
    return paint(manner, size_px=256, seed=1)
