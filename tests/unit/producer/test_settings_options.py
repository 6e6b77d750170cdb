from __future__ import annotations

from typing import Any

import pytest

from impasto.producer.cli.style_options import parse_settings, repeat_options
from impasto.producer.request import make_settings
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings
from impasto.shared.layers import layer_names
from impasto.shared.settings import StyleSettings
from impasto.worker.engine.layers import trunk_layers


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("seed=7", {"seed": 7}),
        ("style_weight=1e3", {"style_weight": 1000.0}),
        ("enlarge=true", {"enlarge": True}),
        ("coarsest_px=null", {"coarsest_px": None}),
        ("style-layers=conv_1, conv_2", {"style_layers": ["conv_1", "conv_2"]}),
        ('style_layers=["conv_1"]', {"style_layers": ["conv_1"]}),
        ("style_layer_weights=0.5,2", {"style_layer_weights": ["0.5", "2"]}),
        ("style_layer_weights=1", {"style_layer_weights": ["1"]}),
        ("weights=/models/vgg=19.pth", {"weights": "/models/vgg=19.pth"}),
        ("weights=123.pth", {"weights": "123.pth"}),
        ("format=jpeg", {"format": "jpeg"}),
    ],
)
def test_an_assignment_is_json_or_text_or_a_list_with_commas(
    assignment: str, expected: dict[str, Any]
) -> None:
    assert parse_settings(None, None, [assignment]) == expected


def test_size_and_steps_are_settings_like_any_other() -> None:
    assert parse_settings(300, 20, ["seed=1"]) == {"size_px": 300, "steps": 20, "seed": 1}


def test_an_option_that_is_not_given_leaves_the_presets_setting() -> None:
    assert parse_settings(None, None, [], format="webp", quality=90, exif=None) == {
        "format": "webp",
        "quality": 90,
    }
    with pytest.raises(BadSettings, match="quality is set twice"):
        parse_settings(None, None, ["quality=80"], quality=90)


def test_a_preview_is_a_setting_and_not_said_twice() -> None:
    assert parse_settings(1024, None, [], preview=True) == {"size_px": 1024, "preview_px": 256}
    with pytest.raises(BadSettings, match="preview_px is set twice"):
        parse_settings(None, None, ["preview_px=128"], preview=True)


@pytest.mark.parametrize(
    ("assignments", "word"),
    [
        (["seed"], "key=value"),
        (["=1"], "key=value"),
        (["size_px=9"], "twice"),
        (["seed=1", "seed=2"], "twice"),
    ],
)
def test_an_assignment_that_sets_nothing_or_twice_is_refused(assignments: list[str], word: str) -> None:
    with pytest.raises(BadSettings, match=word):
        parse_settings(300, None, assignments)


@pytest.mark.parametrize(
    ("preset", "fields", "words"),
    [
        ("nope", {}, ["nope", "gallery, gatys, tutorial"]),
        (None, {"sise_px": 3}, ["sise_px", "size_px"]),
        (None, {"size_px": 3}, ["size_px", "16"]),
        (None, {"size_px": 10**6}, ["size_px", "32768"]),
        (None, {"style_layers": ["conv_17"]}, ["conv_17", "style_layers", "vgg19", "conv_16"]),
        (
            None,
            {"network": "vgg16", "weights": "torchvision", "content_layers": ["conv5_4"]},
            ["conv5_4", "vgg16"],
        ),
        (None, {"network": "vgg16"}, ["caffe", "vgg16", "torchvision"]),
        (None, {"weights": "cafe"}, ["cafe", "torchvision"]),
        (None, {"steps": 0}, ["steps"]),
        (None, {"seed": float("nan")}, ["seed"]),
    ],
)
def test_settings_that_no_worker_could_use_are_refused_in_one_line_that_names_them(
    preset: str | None, fields: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(BadSettings) as refused:
        make_settings(Deployment(), fields, preset)
    message = str(refused.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_the_weights_are_those_of_the_deployment_unless_named() -> None:
    deployment = Deployment(weights="torchvision")
    assert make_settings(deployment, None, None).weights == "torchvision"
    assert make_settings(deployment, {"weights": "caffe"}, None).weights == "caffe"
    whole = StyleSettings(seed=4)
    assert make_settings(deployment, whole, None) is whole
    with pytest.raises(BadSettings, match="not both"):
        make_settings(deployment, whole, "gallery")


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_the_names_of_layers_are_those_that_the_engine_has(network: str) -> None:
    layers = trunk_layers(network)
    assert layer_names(network) == {
        name for layer in layers for name in (layer.counted_name, layer.paper_name)
    }


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-c a b -s x", "-c a --contents b -s x"),
        ("--contents=a b --styles x y --size 9", "--contents=a --contents b --styles x --styles y --size 9"),
        ("-c a -c b -s x -w", "-c a -c b -s x -w"),
        ("--size 9 extra", "--size 9 extra"),
        ("-c a -s x --masks m n --blend d=e:1 f", "-c a -s x --masks m --masks n --blend d=e:1 f"),
    ],
)
def test_contents_and_styles_take_all_that_a_shell_makes_of_a_glob(typed: str, meant: str) -> None:
    assert " ".join(repeat_options(typed.split())) == meant
