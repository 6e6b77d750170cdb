"""Names of the networks' layers, so that a wrong one is refused where no network is loaded.

VGG trunks (Simonyan and Zisserman 2015, arXiv 1409.1556, table 1): five blocks of convolutions, each followed
by a ReLU, each block by a pooling. Named as the PyTorch tutorial counts (`conv_4`, `relu_4`, `pool_4`) or as
Gatys, Ecker and Bethge do (`conv2_2`, `relu2_2`, `pool2`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

CONVOLUTIONS_A_BLOCK: Final = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


@cache
def layer_names(network: str) -> frozenset[str]:
    """All names of all layers of the network's trunk. Raises KeyError for a network that is not known."""
    names: set[str] = set()
    convolution = 0
    for block, depth in enumerate(CONVOLUTIONS_A_BLOCK[network], start=1):
        for place in range(1, depth + 1):
            convolution += 1
            names |= {f"{kind}_{convolution}" for kind in ("conv", "relu")}
            names |= {f"{kind}{block}_{place}" for kind in ("conv", "relu")}
        names |= {f"pool_{convolution}", f"pool{block}"}
    return frozenset(names)


def describe_layers(network: str) -> str:
    """For messages: what there is to choose from."""
    depths = CONVOLUTIONS_A_BLOCK[network]
    return (
        f"{network} has conv_1 to conv_{sum(depths)}, also named conv1_1 to conv{len(depths)}_{depths[-1]}, "
        f"as many relu_ and relu, and pool1 to pool{len(depths)}"
    )
