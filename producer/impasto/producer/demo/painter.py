"""Style paintings for the demonstration and the gallery, painted here because no package brings any.

Everything is numpy and Pillow, on one thread. The same manner, size and seed give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from impasto.producer.demo.fields import Field
from impasto.producer.demo.mosaic import mosaic
from impasto.producer.demo.oils import impasto, pointillist
from impasto.producer.demo.watercolour import watercolour
from impasto.producer.demo.woodcut import woodcut
from impasto.shared.errors import BadSettings

SMALLEST_PX: Final = 32
LARGEST_PX: Final = 1536

_Manner = Callable[[int, np.random.Generator], Field]

_PAINTERS: Final[Mapping[str, tuple[_Manner, str]]] = MappingProxyType(
    {
        "impasto": (
            impasto,
            "Thick oil in strokes that follow the eddies of a night sky over a wheat field.",
        ),
        "pointillist": (pointillist, "Dots of pure, complementary colours: sails on a river at sunset."),
        "woodcut": (woodcut, "Few inks and carved lines: a red sun and a snow mountain over a running sea."),
        "watercolour": (
            watercolour,
            "Wet washes with dark rims and grained pigment: poppies and cornflowers.",
        ),
        "mosaic": (mosaic, "Gold and glass laid in rows along the forms: a tree whose branches roll up."),
    }
)

MANNERS: Final[Mapping[str, str]] = MappingProxyType({name: says for name, (_, says) in _PAINTERS.items()})
"""Each manner's name with a sentence that describes it."""


def paint(manner: str, *, size_px: int = 768, seed: int = 0) -> Image.Image:
    """A square RGB painting, `size_px` wide; `seed` (0 or more) varies the motif within its composition.

    Raises BadSettings for a manner that is not in MANNERS, or a size or seed out of its range.
    """
    if manner not in _PAINTERS:
        raise BadSettings(f"unknown manner {manner!r}: choose one of {', '.join(sorted(MANNERS))}")
    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise BadSettings(f"size_px is {size_px}: choose a size from {SMALLEST_PX} to {LARGEST_PX}")
    if seed < 0:
        raise BadSettings(f"seed is {seed}: choose 0 or more")
    brush, _ = _PAINTERS[manner]
    picture = brush(size_px, np.random.Generator(np.random.PCG64(seed)))
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
