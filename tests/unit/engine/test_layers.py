from __future__ import annotations

import pytest
import torch
import torchvision.models.vgg
from torch import nn

from impasto.shared.errors import BadSettings
from impasto.worker.engine import Network, StyleSettings
from impasto.worker.engine.layers import layer_position, trunk_layers
from unit.engine.reference import Double

# Simonyan and Zisserman 2015, table 1, columns D and E: channels of each convolution, "pool" for maxpool.
TABLE_1 = {
    "vgg16": "64 64 pool 128 128 pool 256 256 256 pool 512 512 512 pool 512 512 512 pool",
    "vgg19": "64 64 pool 128 128 pool 256 256 256 256 pool 512 512 512 512 pool 512 512 512 512 pool",
}


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


@pytest.mark.parametrize("architecture", TABLE_1)
def test_a_trunk_is_table_1_and_torchvisions_modules(architecture: str) -> None:
    expected: list[tuple[str, int, int]] = []
    channels = 3
    for word in TABLE_1[architecture].split():
        if word == "pool":
            expected.append(("pool", channels, channels))
        else:
            expected += [("conv", channels, int(word)), ("relu", int(word), int(word))]
            channels = int(word)
    layers = trunk_layers(architecture)
    assert [(layer.kind, layer.inputs, layer.outputs) for layer in layers] == expected
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
    column = {"vgg16": "D", "vgg19": "E"}[architecture]
    modules = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs[column])
    assert [layer.kind for layer in layers] == [kinds[type(module)] for module in modules]


@pytest.mark.parametrize("architecture", TABLE_1)
def test_settings_take_every_name_of_every_layer(architecture: str) -> None:
    names = tuple(
        name for layer in trunk_layers(architecture) for name in (layer.counted_name, layer.paper_name)
    )
    settings = StyleSettings.preset(
        "tutorial", network=architecture, content_layers=names, style_layers=names
    )
    assert settings.content_layers == settings.style_layers == names


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_every_name_of_every_layer_gives_that_layers_features(
    pooling: str, network: Network, double: Double
) -> None:
    picture = torch.rand(1, 3, 36, 34, generator=torch.Generator().manual_seed(6))
    expected = double(picture.double(), pooling)
    names = [name for layer in trunk_layers("vgg19") for name in (layer.counted_name, layer.paper_name)]
    found = network.trunk(names, pooling=pooling)(picture)
    assert set(found) == set(expected) == set(names)
    for name in names:
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-4, atol=1e-5 * scale)


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
