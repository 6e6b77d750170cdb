from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto.shared.errors import BadPicture
from impasto.worker.engine import Network, StepLosses, StyleSettings, stylize
from impasto.worker.engine.masks import check_mask, position_weights
from impasto.worker.engine.statistics import gram_compute, gram_update, moments_compute, moments_update

QUICK = StyleSettings.preset("gallery", size_px=56, steps=10, coarsest_px=None)


def _left_half(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 30))
def test_weighted_statistics_are_their_formulas(seed: int, channels: int, positions: int) -> None:
    rng = np.random.default_rng(seed)
    flat, counts = rng.normal(0.3, 1, (channels, positions)), rng.uniform(0.1, 2, positions)
    counts /= counts.mean()
    features = torch.tensor(flat).view(1, channels, 1, positions)
    weights = torch.tensor(counts).view(1, 1, 1, positions)
    gram = sum(counts[k] * np.outer(flat[:, k], flat[:, k]) for k in range(positions)) / positions
    np.testing.assert_allclose(gram_compute(gram_update(None, features, weights))[0], gram, atol=1e-10)
    moments = moments_compute(moments_update(None, features, weights))
    np.testing.assert_allclose(moments.mean[0], np.average(flat, axis=1, weights=counts), atol=1e-10)
    np.testing.assert_allclose(
        moments.covariance[0],
        np.cov(flat, aweights=counts, bias=True).reshape(channels, channels),
        atol=1e-10,
    )


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_positions_count_as_the_mask_says_at_every_depth(network: Network, padding: str) -> None:
    trunk = network.trunk(("relu1_1", "pool1", "relu3_1"), pooling="average")
    found = position_weights(_left_half((64, 48)), (64, 48), trunk, padding, network.device)
    frame = 16 if padding == "reflect" else 0
    sizes = {"relu1_1": 1, "pool1": 2, "relu3_1": 4}
    for name, stride in sizes.items():
        weights = found[name]
        assert weights.shape == (1, 1, (48 + frame) // stride, (64 + frame) // stride)
        assert float(weights.mean()) == pytest.approx(1)
        middle = weights.shape[3] // 2
        assert float(weights[..., : middle - 1].min()) == pytest.approx(2)
        assert float(weights[..., middle + 1 :].max()) == 0


def test_the_photograph_stays_where_the_mask_is_black(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    mask = _left_half(scene.size)
    result = stylize(scene, look, QUICK, network, mask=mask).image
    changed = np.abs(np.asarray(result).astype(float) - np.asarray(scene)).mean(axis=(0, 2))
    # Near the edge, positions on the white side still see pixels on the black one.
    assert changed[-8:].mean() < changed[:20].mean() / 5


def test_a_white_mask_is_no_mask(network: Network, scene: Image.Image, look: Image.Image) -> None:
    one = QUICK.model_copy(update={"steps": 1})
    plain = stylize(scene, look, one, network).losses[0]
    masked = stylize(scene, look, one, network, mask=Image.new("L", scene.size, 255)).losses[0]
    assert masked.total == pytest.approx(plain.total, rel=1e-5)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (Image.new("L", (9, 9), 255), "the mask has 9 × 9 px, the content 56 × 40 px"),
        (Image.new("RGB", (56, 40), "white"), "the mask is of mode RGB"),
        (Image.new("L", (56, 40), 0), "the mask is black throughout"),
    ],
    ids=["size", "mode", "black"],
)
def test_a_mask_that_cannot_be_is_named_before_anything_is_computed(
    mask: Image.Image, reason: str, network: Network, scene: Image.Image, look: Image.Image
) -> None:
    told: list[StepLosses] = []
    with pytest.raises(BadPicture, match=reason):
        stylize(scene, look, QUICK, network, mask=mask, on_step=told.append)
    assert told == []
    check_mask(Image.new("L", scene.size, 1), scene)
