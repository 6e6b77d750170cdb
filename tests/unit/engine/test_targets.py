from __future__ import annotations

import pytest
import torch
from PIL import Image

from impasto.worker.engine import Network, StyleSettings, TargetCache
from impasto.worker.engine.targets import compute_targets


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
    [{"pooling": "average"}, {"style_layers": ("conv_1",)}, {"style_statistic": "covariance"}],
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
