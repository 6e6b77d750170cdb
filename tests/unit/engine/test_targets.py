from __future__ import annotations

import pytest
import torch
from PIL import Image

from impasto.shared.errors import BadPicture, BadSettings
from impasto.worker.engine import Network, StyleSettings, TargetCache, stylize
from impasto.worker.engine.statistics import Moments
from impasto.worker.engine.targets import compute_targets, styles_with_shares


def _entry(floats: int) -> dict[str, torch.Tensor]:
    return {"layer": torch.zeros(floats)}


def test_the_cache_computes_once_and_answers_the_same_entry() -> None:
    cache = TargetCache()
    first = cache.get("key", lambda: _entry(4))
    assert cache.get("key", lambda: _entry(4)) is first
    assert (cache.hits, cache.misses, len(cache), cache.held_bytes) == (1, 1, 1, 16)


def test_the_cache_keeps_to_its_entries_and_drops_the_least_recently_used() -> None:
    cache = TargetCache(max_entries=2)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda: _entry(4))
    assert len(cache) == 2
    cache.get("a", lambda: pytest.fail("a was used last but one and should be held"))


def test_the_cache_keeps_to_its_bytes() -> None:
    cache = TargetCache(max_bytes=100)
    for key in range(10):
        cache.get(key, lambda: _entry(10))
        assert cache.held_bytes <= 100
    assert len(cache) == 2


def test_an_entry_larger_than_the_cache_is_answered_and_not_kept() -> None:
    cache = TargetCache(max_bytes=100)
    cache.get("small", lambda: _entry(10))
    assert cache.get("large", lambda: _entry(1000))["layer"].numel() == 1000
    assert (len(cache), cache.held_bytes) == (1, 40)


@pytest.mark.parametrize(
    "change",
    [
        {"pooling": "average"},
        {"style_layers": ("conv_1",)},
        {"style_statistic": "covariance"},
        {"padding": "reflect"},
    ],
    ids=str,
)
def test_settings_that_change_a_style_target_have_an_entry_of_their_own(
    change: dict[str, object], network: Network, scene: Image.Image, look: Image.Image
) -> None:
    cache = TargetCache()
    plain = StyleSettings.preset("tutorial", content_layers=())
    compute_targets(scene, look, plain, network, torch.float32, cache)
    misses = cache.misses
    compute_targets(scene, look, plain, network, torch.float32, cache)
    assert cache.misses == misses
    compute_targets(
        scene, look, StyleSettings.parse({**plain.model_dump(), **change}), network, torch.float32, cache
    )
    assert cache.misses > misses


def test_weights_and_steps_share_their_targets(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    cache = TargetCache()
    for steps, weight in ((3, 1.0), (5, 2.0)):
        settings = StyleSettings.preset("tutorial", steps=steps, style_weight=weight)
        compute_targets(scene, look, settings, network, torch.float32, cache)
    assert (cache.hits, cache.misses) == (2, 2)


def test_targets_hold_no_graph(network: Network, scene: Image.Image, look: Image.Image) -> None:
    found = compute_targets(
        scene, look, StyleSettings.preset("tutorial"), network, torch.float32, TargetCache()
    )
    assert not any(value.requires_grad for value in found.content.values())
    assert not any(value.requires_grad for value in found.style.values() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("statistic", ["gram", "covariance"])
def test_several_styles_are_aimed_at_by_their_shares(
    statistic: str, network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", style_statistic=statistic, style_layers=("conv_1", "conv_3"))

    def aims(style: object) -> dict[str, torch.Tensor]:
        found = compute_targets(scene, style, settings, network, torch.float32, TargetCache()).style  # type: ignore[arg-type]
        return {
            name: torch.cat([v.mean.flatten(), v.covariance.flatten()]) if isinstance(v, Moments) else v
            for name, v in found.items()
        }

    first, second, both = aims(look), aims(scene), aims([(look, 0.25), (scene, 0.75)])
    for name in settings.style_layers:
        torch.testing.assert_close(both[name], 0.25 * first[name] + 0.75 * second[name])


def test_shares_add_up_to_one_and_only_their_ratio_counts(look: Image.Image, scene: Image.Image) -> None:
    assert styles_with_shares(look) == [(look, 1.0)]
    assert styles_with_shares([(look, 2), (scene, 6)]) == [(look, 0.25), (scene, 0.75)]


def test_one_style_among_many_is_the_style_alone(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("gallery", steps=3, coarsest_px=None)
    alone = stylize(scene, look, settings, network).image.tobytes()
    assert stylize(scene, [(look, 7.0)], settings, network).image.tobytes() == alone
    other = Image.new("RGB", (30, 30), (250, 120, 10))
    assert stylize(scene, [(look, 0.5), (other, 0.5)], settings, network).image.tobytes() != alone


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_named(weight: float, look: Image.Image) -> None:
    with pytest.raises(BadSettings, match="weight of style 2 of 2"):
        styles_with_shares([(look, 1.0), (look, weight)])


def test_no_styles_and_broken_ones_are_named(look: Image.Image) -> None:
    with pytest.raises(BadSettings, match="there is no style"):
        styles_with_shares([])
    with pytest.raises(BadPicture, match="style 2 of 2 is of mode L"):
        styles_with_shares([(look, 1.0), (look.convert("L"), 1.0)])
