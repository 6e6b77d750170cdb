"""What cannot be is refused by name, with the mend, before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from impasto.shared.errors import BadPicture, BadSettings
from impasto.worker.engine import Network, StyleSettings, TargetCache, stylize
from unit.engine.reference import painted

PLAIN = StyleSettings.preset("tutorial", steps=2)
SCENE, LOOK = painted(24, 18, seed=1), painted(20, 20, seed=2)
PIXEL = Image.new("RGB", (1, 1), "red")


def _changed(**changes: Any) -> dict[str, Any]:
    """Settings as they may come from elsewhere than the validated model."""
    return {"settings": PLAIN.model_copy(update=changes)}


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "content of one pixel": ({"content": PIXEL}, BadPicture, r"the content has 1 × 1 px.*give a larger"),
    "style of one pixel": ({"style": PIXEL}, BadPicture, r"the style has 1 × 1 px.*give a larger"),
    "one of two styles of one pixel": (
        {"style": [(LOOK, 1.0), (PIXEL, 1.0)]},
        BadPicture,
        r"style 2 of 2 has 1 × 1 px.*give a larger",
    ),
    "grey content": ({"content": SCENE.convert("L")}, BadPicture, r"the content is of mode L: convert it"),
    "transparent style": (
        {"style": LOOK.convert("RGBA")},
        BadPicture,
        r"the style is of mode RGBA: convert it",
    ),
    "no style": ({"style": []}, BadSettings, r"there is no style: give"),
    "a weight of no number": (
        {"style": [(LOOK, float("nan"))]},
        BadSettings,
        r"weight of style is nan: give a number above 0",
    ),
    "mask of another size": (
        {"mask": Image.new("L", (9, 7), 255)},
        BadPicture,
        r"the mask has 9 × 7 px, the content 24 × 18 px: give the mask the content's size",
    ),
    "mask in colour": ({"mask": SCENE}, BadPicture, r"the mask is of mode RGB: convert it to L"),
    "black mask": (
        {"mask": Image.new("L", SCENE.size)},
        BadPicture,
        r"the mask is black throughout: paint it",
    ),
    "content layer past the trunk": (
        _changed(content_layers=("conv5_5",)),
        BadSettings,
        r"unknown layer 'conv5_5': .*conv_1.*conv_16",
    ),
    "style layer past the trunk": (
        _changed(style_layers=("conv_17",)),
        BadSettings,
        r"unknown layer 'conv_17': .*conv_1.*conv_16",
    ),
    "another network": (
        _changed(network="vgg16"),
        BadSettings,
        r"ask for network vgg16, but vgg19 is loaded: call load_network",
    ),
    "other weights": (
        _changed(weights="torchvision"),
        BadSettings,
        r"ask for weights 'torchvision', but 'caffe' are loaded: call load_network",
    ),
}


@pytest.mark.parametrize(("change", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_by_name_with_the_mend_before_anything_is_computed(
    change: dict[str, Any], error: type[Exception], words: str, network: Network
) -> None:
    # Without convolutions, whatever is computed ends in another error.
    idle = replace(network, convolutions=())
    cache = TargetCache()
    arguments = {"content": SCENE, "style": LOOK, "settings": PLAIN, "mask": None, **change}
    with pytest.raises(error, match=words):
        stylize(
            arguments["content"],
            arguments["style"],
            arguments["settings"],
            idle,
            mask=arguments["mask"],
            targets=cache,
        )
    assert cache.misses == 0
    with pytest.raises(IndexError):
        stylize(SCENE, LOOK, PLAIN, idle)


@pytest.mark.parametrize("field", ["content_layers", "style_layers"])
@pytest.mark.parametrize(
    ("architecture", "layer"), [("vgg19", "conv_17"), ("vgg16", "conv_14"), ("vgg16", "relu5_4")]
)
def test_settings_name_a_layer_past_the_trunk_and_those_there_are(
    field: str, architecture: str, layer: str
) -> None:
    with pytest.raises(BadSettings, match=rf"unknown layer '{layer}' in {field}: .*conv_1"):
        StyleSettings.preset("tutorial", network=architecture, **{field: (layer,)})


@pytest.mark.parametrize(
    "change",
    [
        {"style_weight": float("nan")},
        {"content_weight": float("inf")},
        {"tv_weight": -1.0},
        {"steps": 0},
        {"size_px": 15},
        {"style_statistic": "mean"},
        {"style_scale": 0.0},
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match=rf"{next(iter(change))}: .*\(got "):
        StyleSettings.preset("gallery", **change)
