"""Whatever people send: no run diverges, and the picture that comes out has the loss that was told."""

from __future__ import annotations

import math

import pytest
from PIL import Image

from impasto.shared.settings import StyleSettings
from impasto.worker.engine import Network, StyleResult, stylize
from odd_pairs import KINDS, OddPair, odd_pairs, rescored
from unit.engine.reference import painted

COUNT = 40
MANNERS = (
    {"name": "tutorial"},
    {"name": "gatys"},
    {"name": "gallery", "coarsest_px": None},
    {"name": "gallery", "coarsest_px": None, "style_statistic": "wasserstein", "style_weight": 2.0},
)


@pytest.fixture(scope="module")
def pairs() -> list[OddPair]:
    return odd_pairs(48)


def test_there_are_forty_pairs_of_each_kind_with_each_and_the_seed_makes_them(pairs: list[OddPair]) -> None:
    assert len(pairs) == len({pair.name for pair in pairs}) == COUNT
    assert {f"{content} × {style}" for content in KINDS for style in KINDS} <= {pair.name for pair in pairs}
    again, other = odd_pairs(48), odd_pairs(48, seed=1)
    assert all(a.content.tobytes() == b.content.tobytes() for a, b in zip(pairs, again, strict=True))
    assert any(a.content.tobytes() != b.content.tobytes() for a, b in zip(pairs, other, strict=True))


def _assert_sound(result: StyleResult, size: tuple[int, int]) -> None:
    for step in result.losses:
        assert all(math.isfinite(part) for part in (step.content, step.style, step.tv, step.total))
    last = [step.total for step in result.losses if step.scale_px == result.losses[-1].scale_px]
    assert last[-1] == min(last)
    assert (result.image.mode, result.image.size) == ("RGB", size)


@pytest.mark.parametrize("number", range(COUNT))
def test_no_odd_pair_diverges_and_the_best_picture_is_kept(
    number: int, pairs: list[OddPair], network: Network
) -> None:
    pair = pairs[number]
    # Each manner meets each kind of content and of style.
    manner = MANNERS[(number + number // len(KINDS)) % len(MANNERS)]
    settings = StyleSettings.preset(**manner, size_px=48, steps=6, precision="float32")
    result = stylize(pair.content, pair.style, settings, network)
    _assert_sound(result, pair.content.size)
    answer = rescored(pair, settings, network, result.image)
    assert answer <= result.losses[0].total * 1.001, pair.name
    assert answer == pytest.approx(result.losses[-1].total, rel=0.05), pair.name


EXTREMES = {
    "all style": {"style_weight": 1e12, "content_weight": 0.0},
    "all content": {"style_weight": 0.0, "content_weight": 1e12, "start": "noise"},
    "all total variation": {"style_weight": 0.0, "content_weight": 0.0, "tv_weight": 1e12},
    "all at once": {"style_weight": 1e12, "content_weight": 1e12, "tv_weight": 1e12},
    "next to nothing": {"style_weight": 1e-12, "content_weight": 1e-12, "tv_weight": 0.0},
}


@pytest.mark.parametrize("preset", ["tutorial", "gatys", "gallery"])
@pytest.mark.parametrize("weights", EXTREMES.values(), ids=EXTREMES)
def test_extreme_weights_still_lower_the_loss(
    weights: dict[str, object], preset: str, network: Network, scene: Image.Image, look: Image.Image
) -> None:
    # The first step is found by halving it, which takes a while where the content's loss is nearly all.
    settings = StyleSettings.preset(preset, **{"coarsest_px": None, "steps": 16, "size_px": 40, **weights})
    result = stylize(scene, look, settings, network)
    _assert_sound(result, (40, 29))
    assert result.losses[-1].total < result.losses[0].total


def test_with_no_weights_at_all_the_start_is_the_answer(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", style_weight=0, content_weight=0, steps=5)
    assert stylize(scene, look, settings, network).image.tobytes() == scene.tobytes()


SIZES = {
    "lying strip, 10 : 1": (100, 10),
    "standing strip, 1 : 10": (10, 100),
    "a column of 200": (1, 200),
    "a row of 200": (200, 1),
    "two pixels": (2, 1),
    "no multiple of 32": (67, 45),
    "one more than 32": (33, 33),
    "one less than 64": (63, 31),
}


@pytest.mark.parametrize("statistic", ["covariance", "wasserstein"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_any_shape_works_as_content_and_as_style(
    size: tuple[int, int], statistic: str, network: Network
) -> None:
    settings = StyleSettings.preset(
        "gallery", size_px=256, steps=3, coarsest_px=None, style_statistic=statistic
    )
    odd, usual = painted(*size, seed=1), painted(48, 40, seed=2)
    for content, style in ((odd, usual), (usual, odd)):
        result = stylize(content, style, settings, network)
        _assert_sound(result, content.size)
        assert result.losses[-1].total < result.losses[0].total


def test_a_style_that_shrinks_to_one_pixel_is_a_colour(network: Network, scene: Image.Image) -> None:
    settings = StyleSettings.preset("gallery", size_px=16, steps=5, coarsest_px=None, style_scale=0.03)
    result = stylize(scene, painted(64, 64, seed=4), settings, network)
    _assert_sound(result, (16, 11))
    assert result.losses[-1].total < result.losses[0].total
