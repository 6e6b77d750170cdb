from __future__ import annotations

import pytest

from impasto.shared.errors import BadSettings
from impasto.worker.engine.layers import layer_position, trunk_layers


@pytest.mark.parametrize(
    ("counted", "paper"),
    [
        ("conv_1", "conv1_1"),
        ("conv_4", "conv2_2"),
        ("relu_10", "relu4_2"),
        ("conv_16", "conv5_4"),
        ("pool_8", "pool3"),
    ],
)
def test_the_tutorials_and_the_papers_name_mean_the_same_layer(counted: str, paper: str) -> None:
    assert layer_position(counted, "vgg19") == layer_position(paper, "vgg19")


@pytest.mark.parametrize(("architecture", "convolutions"), [("vgg16", 13), ("vgg19", 16)])
def test_a_trunk_has_the_published_convolutions_and_five_poolings(
    architecture: str, convolutions: int
) -> None:
    kinds = [layer.kind for layer in trunk_layers(architecture)]
    assert (kinds.count("conv"), kinds.count("relu"), kinds.count("pool")) == (convolutions, convolutions, 5)


def test_every_layer_is_found_by_both_of_its_names() -> None:
    for architecture in ("vgg16", "vgg19"):
        for position, layer in enumerate(trunk_layers(architecture)):
            assert layer_position(layer.counted_name, architecture) == position
            assert layer_position(layer.paper_name, architecture) == position


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("conv_17", "vgg19"),
        ("relu5_4", "vgg16"),
        ("pool_3", "vgg19"),
        ("conv_0", "vgg19"),
        ("fc6", "vgg19"),
        ("", "vgg19"),
    ],
)
def test_a_layer_that_is_not_in_the_trunk_is_named(name: str, architecture: str) -> None:
    with pytest.raises(BadSettings, match=repr(name)):
        layer_position(name, architecture)


def test_an_unknown_network_is_named_with_those_that_are_known() -> None:
    with pytest.raises(BadSettings, match=r"'resnet50'.*vgg16, vgg19"):
        trunk_layers("resnet50")
