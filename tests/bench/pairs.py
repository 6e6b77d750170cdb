"""Pairs of different kinds that every machine can make by itself: pictures from scikit-image's wheel and
paintings from the demo's painter.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from PIL import Image

from impasto.producer.demo.painter import paint


@dataclass(frozen=True)
class BenchPair:
    name: str
    content: Image.Image
    style: Image.Image


# Content by its file in the wheel; style by the painter's manner, or by a file.
_PAIRS = (
    ("astronaut.png", "impasto"),
    ("coffee.png", "brick.png"),
    ("chelsea.png", "woodcut"),
    ("rocket.jpg", "watercolour"),
    ("motorcycle_left.png", "mosaic"),
    ("gravel.png", "impasto"),
    ("astronaut.png", "gravel.png"),
    ("chelsea.png", "mosaic"),
)


def bench_pairs(size_px: int, count: int = len(_PAIRS)) -> list[BenchPair]:
    """Square RGB pictures, `size_px` wide: the program of the seed text wants both of one size."""
    return [
        BenchPair(
            f"{Path(content).stem} × {Path(style).stem}", _picture(content, size_px), _picture(style, size_px)
        )
        for content, style in _PAIRS[:count]
    ]


def _picture(source: str, size_px: int) -> Image.Image:
    picture = _file(source) if "." in source else paint(source, size_px=512, seed=1)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size_px, size_px), Image.Resampling.LANCZOS)


def _file(name: str) -> Image.Image:
    folder = resources.files("skimage") / "data"
    with (folder / name).open("rb") as stream:
        return Image.open(stream).convert("RGB")
