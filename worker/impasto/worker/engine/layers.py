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

from dataclasses import dataclass
from typing import Final, Literal

from impasto.shared.errors import BadSettings
from impasto.shared.layers import CONVOLUTIONS_A_BLOCK, describe_layers

Kind = Literal["conv", "relu", "pool"]

_WIDTHS: Final = (64, 128, 256, 512, 512)


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
    if architecture not in CONVOLUTIONS_A_BLOCK:
        raise BadSettings(
            f"unknown network {architecture!r}: choose one of {', '.join(sorted(CONVOLUTIONS_A_BLOCK))}"
        )
    layers: list[Layer] = []
    convolution, inputs = 0, 3
    for block, (depth, width) in enumerate(
        zip(CONVOLUTIONS_A_BLOCK[architecture], _WIDTHS, strict=True), start=1
    ):
        for place in range(1, depth + 1):
            convolution += 1
            layers.append(Layer("conv", convolution, block, place, inputs, width))
            layers.append(Layer("relu", convolution, block, place, width, width))
            inputs = width
        layers.append(Layer("pool", convolution, block, 0, width, width))
    return tuple(layers)


def layer_position(name: str, architecture: str) -> int:
    """Where in `trunk_layers(architecture)` the named layer stands, from 0.

    Raises BadSettings, naming the layer, if this trunk has none of that name.
    """
    for position, layer in enumerate(trunk_layers(architecture)):
        if name in (layer.counted_name, layer.paper_name):
            return position
    raise BadSettings(f"unknown layer {name!r}: {describe_layers(architecture)}")
