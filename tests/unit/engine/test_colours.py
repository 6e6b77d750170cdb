from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from impasto.worker.engine import Network, StyleSettings, stylize
from impasto.worker.engine.colours import (
    after_transfer,
    colours_matched,
    recoloured,
    scene_before_transfer,
    style_before_transfer,
)
from unit.engine.reference import painted

LUMA = np.array([0.299, 0.587, 0.114])


def _values(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture) / 255.0


def _moments(picture: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = _values(picture).reshape(-1, 3)
    return points.mean(axis=0), np.cov(points, rowvar=False)


def _soft(seed: int, width: int = 40, height: int = 30, spread: float = 0.08) -> Image.Image:
    """Colours in the middle of their range, correlated, so that nothing has to be cut off."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(0, spread, (height, width, 3)) @ rng.normal(0, 0.6, (3, 3))
    return Image.fromarray(np.uint8(255 * np.clip(mixed + rng.uniform(0.4, 0.6, 3), 0, 1)))


def test_matched_colours_have_the_models_mean_and_covariance() -> None:
    found, model = colours_matched(_soft(1), _soft(2)), _soft(2)
    mean, covariance = _moments(found)
    aim_mean, aim_covariance = _moments(model)
    np.testing.assert_allclose(mean, aim_mean, atol=2e-3)
    np.testing.assert_allclose(covariance, aim_covariance, atol=3e-4)


def test_colours_matched_to_their_own_picture_stay() -> None:
    picture = painted(30, 20, seed=5)
    difference = np.abs(_values(colours_matched(picture, picture)) - _values(picture))
    assert difference.max() <= 1.5 / 255


@pytest.mark.parametrize("flat", ["picture", "model"])
def test_a_picture_of_one_colour_can_be_matched(flat: str) -> None:
    one, other = Image.new("RGB", (9, 7), (200, 40, 10)), _soft(3)
    if flat == "model":
        assert np.abs(_values(colours_matched(other, one)) - _values(one)[0, 0]).max() < 0.03
    else:
        assert np.abs(_moments(colours_matched(one, other))[0] - _moments(other)[0]).max() < 3e-3


colours = st.tuples(*[st.integers(0, 255)] * 3)


@settings(deadline=None, max_examples=60)
@given(colours, colours)
def test_recolouring_keeps_the_luma_and_never_turns_a_hue(
    picture: tuple[int, int, int], model: tuple[int, int, int]
) -> None:
    found = _values(recoloured(Image.new("RGB", (1, 1), picture), Image.new("RGB", (1, 1), model)))[0, 0]
    assert found @ LUMA == pytest.approx(np.array(picture) / 255 @ LUMA, abs=1 / 255)
    wanted = np.array(model) / 255 - np.array(model) / 255 @ LUMA
    chroma = found - found @ LUMA
    assert np.linalg.norm(chroma) <= np.linalg.norm(wanted) + 2 / 255
    assert chroma @ wanted >= -2 / 255


def test_luminance_transfers_between_grey_pictures_of_the_contents_brightness() -> None:
    content, style = _soft(6), painted(40, 40, seed=4)
    scene = scene_before_transfer(content, "luminance")
    look = style_before_transfer(style, content, "luminance")
    for picture in (scene, look):
        values = _values(picture)
        assert np.ptp(values, axis=2).max() == 0
    assert float(_values(look).mean()) == pytest.approx(float(_values(scene).mean()), abs=3e-3)
    assert float(_values(look).std()) == pytest.approx(float(_values(scene).std()), abs=3e-3)


def test_without_the_option_pictures_pass_untouched() -> None:
    content, style = _soft(7), _soft(8)
    assert scene_before_transfer(content, "style") is content
    assert style_before_transfer(style, content, "style") is style
    assert after_transfer(style, content, "style") is style
    assert after_transfer(style, content, "match") is style


@pytest.mark.parametrize("kept", ["luminance", "match"])
def test_kept_colours_are_nearer_to_the_photographs(
    kept: str, network: Network, scene: Image.Image, look: Image.Image
) -> None:
    base = StyleSettings.preset("gallery", size_px=48, steps=12, coarsest_px=None)

    def distance(colours: str) -> float:
        result = stylize(scene, look, base.model_copy(update={"colours": colours}), network).image
        means = [_moments(picture)[0] for picture in (result, scene)]
        return float(np.linalg.norm(means[0] - means[1]))

    assert distance(kept) < distance("style") / 2
