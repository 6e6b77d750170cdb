"""The layers of the VGG trunks and their names.

Simonyan and Zisserman 2015 (arXiv 1409.1556), table 1, columns D (VGG-16) and E (VGG-19): five blocks of
3 × 3 convolutions, each convolution followed by a ReLU, each block by a 2 × 2 pooling.

Two ways to name a layer are in use and both are understood:

- as the PyTorch tutorial counts: `conv_4`, `relu_4` is the fourth convolution and its ReLU, `pool_4` the
  pooling that follows the fourth convolution;
- as Gatys, Ecker and Bethge do: `conv2_2`, `relu2_2` is the second convolution of block 2 and its ReLU,
  `pool2` the pooling that ends block 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from impasto.shared.errors import BadSettings

Architecture = Literal["vgg19", "vgg16"]
Kind = Literal["conv", "relu", "pool"]

_BLOCKS: Final[dict[str, tuple[int, ...]]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS: Final = (64, 128, 256, 512, 512)

_COUNTED = re.compile(r"(conv|relu|pool)_([1-9]\d*)")
_PAPER = re.compile(r"(conv|relu)([1-9]\d*)_([1-9]\d*)|(pool)([1-9]\d*)")


@dataclass(frozen=True)
class Layer:
    """One step of the trunk.

    `convolution` counts convolutions from 1 over the whole trunk; for a pooling it is that of the convolution
    before it. `block` and `place` (within the block) count from 1 too; a pooling's place is 0. `inputs` and
    `outputs` are channels.
    """

    kind: Kind
    convolution: int
    block: int
    place: int
    inputs: int
    outputs: int

    @property
    def counted_name(self) -> str:
        return f"{self.kind}_{self.convolution}"

    @property
    def paper_name(self) -> str:
        return f"pool{self.block}" if self.kind == "pool" else f"{self.kind}{self.block}_{self.place}"


def trunk_layers(architecture: str) -> tuple[Layer, ...]:
    """All layers of the feature trunk, in order. Raises BadSettings for an architecture that is not known."""
    if architecture not in _BLOCKS:
        raise BadSettings(f"unknown network {architecture!r}: choose one of {', '.join(sorted(_BLOCKS))}")
    layers: list[Layer] = []
    convolution, inputs = 0, 3
    for block, (depth, width) in enumerate(zip(_BLOCKS[architecture], _WIDTHS, strict=True), start=1):
        for place in range(1, depth + 1):
            convolution += 1
            layers.append(Layer("conv", convolution, block, place, inputs, width))
            layers.append(Layer("relu", convolution, block, place, width, width))
            inputs = width
        layers.append(Layer("pool", convolution, block, 0, width, width))
    return tuple(layers)


def layer_position(name: str, architecture: str) -> int:
    """Where in `trunk_layers(architecture)` the named layer stands, from 0.

    Raises BadSettings, naming the layer, if it is no layer's name or not in this trunk.
    """
    for position, layer in enumerate(trunk_layers(architecture)):
        if name in (layer.counted_name, layer.paper_name):
            return position
    if _COUNTED.fullmatch(name) or _PAPER.fullmatch(name):
        layers = trunk_layers(architecture)
        last = layers[-2]
        pools = ", ".join(layer.counted_name for layer in layers if layer.kind == "pool")
        raise BadSettings(
            f"layer {name!r} is not in the trunk of {architecture}, which ends at {last.counted_name} "
            f"({last.paper_name}) and pools at {pools} (pool1 to pool{last.block})"
        )
    raise BadSettings(
        f"unknown layer {name!r}: write conv_4, relu_4, pool_4 or, as the paper, conv2_2, relu2_2, pool2"
    )
