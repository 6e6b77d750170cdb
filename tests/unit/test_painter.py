"""The painter: the same seed gives the same bytes, and every manner gives a picture worth learning from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.producer.demo.fields import blur, noise, smoothstep
from impasto.producer.demo.painter import MANNERS, paint
from impasto.shared.errors import BadSettings

SMALL_PX = 96


@pytest.mark.parametrize("manner", MANNERS)
def test_the_same_manner_size_and_seed_give_the_same_bytes(manner: str) -> None:
    once, again, other = (paint(manner, size_px=SMALL_PX, seed=seed) for seed in (3, 3, 4))
    assert once.tobytes() == again.tobytes()
    assert once.tobytes() != other.tobytes()


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_paints_a_square_picture_with_light_dark_and_colour(manner: str) -> None:
    picture = paint(manner, size_px=SMALL_PX)
    assert picture.mode == "RGB"
    assert picture.size == (SMALL_PX, SMALL_PX)
    pixels = np.asarray(picture, np.float64)
    light = pixels @ (0.299, 0.587, 0.114)
    dark_end, light_end = np.percentile(light, (2, 98))
    assert light_end - dark_end > 130
    assert (pixels.max(axis=2) - pixels.min(axis=2)).mean() > 30
    assert len(np.unique(pixels.reshape(-1, 3) // 16, axis=0)) > 150


@pytest.mark.parametrize("manner", MANNERS)
def test_a_painting_has_masses_as_well_as_texture(manner: str) -> None:
    light = np.asarray(paint(manner, size_px=SMALL_PX).convert("L"), np.float64)
    blocks = light.reshape(8, SMALL_PX // 8, 8, SMALL_PX // 8)
    assert blocks.mean(axis=(1, 3)).std() > 10
    assert blocks.std(axis=(1, 3)).mean() > 8


@pytest.mark.parametrize("manner", MANNERS)
def test_one_seed_is_one_composition_at_every_size(manner: str) -> None:
    small, large = (
        np.asarray(paint(manner, size_px=size_px, seed=1).convert("L").reduce(size_px // 8), np.float64)
        for size_px in (SMALL_PX, 2 * SMALL_PX)
    )
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_an_unknown_manner_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(BadSettings) as refusal:
        paint("crayon")
    assert "crayon" in str(refusal.value)
    assert all(manner in str(refusal.value) for manner in MANNERS)


@pytest.mark.parametrize(("size_px", "seed"), [(31, 0), (1537, 0), (SMALL_PX, -1)])
def test_a_size_or_seed_out_of_range_is_refused(size_px: int, seed: int) -> None:
    with pytest.raises(BadSettings, match="choose"):
        paint("woodcut", size_px=size_px, seed=seed)


def test_each_manner_is_described_in_one_sentence() -> None:
    assert {"impasto", "pointillist", "woodcut", "watercolour"} <= set(MANNERS)
    assert all(text.endswith(".") and text.count(". ") == 0 for text in MANNERS.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 70), st.floats(0.3, 40))
def test_a_blur_keeps_a_flat_field_and_never_leaves_the_fields_range(
    seed: int, size_px: int, sigma: float
) -> None:
    flat = np.full((size_px, size_px), 0.7, np.float32)
    np.testing.assert_allclose(blur(flat, sigma), flat, atol=1e-4)
    field = smoothstep(-1, 1, noise(np.random.default_rng(seed), size_px, 5))
    # A bicubic enlargement may overshoot a little.
    assert blur(field, sigma).min() > -0.05
    assert blur(field, sigma).max() < 1.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 90), st.integers(1, 30))
def test_noise_has_mean_0_and_standard_deviation_1(seed: int, size_px: int, cells: int) -> None:
    field = noise(np.random.default_rng(seed), size_px, cells)
    assert field.shape == (size_px, size_px)
    assert abs(float(field.mean())) < 1e-3
    assert float(field.std()) == pytest.approx(1, abs=1e-3)
