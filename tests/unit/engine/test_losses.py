from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.worker.engine.losses import content_factor, gram_loss, moments_loss, total_variation
from impasto.worker.engine.slopes import add_content_slope
from impasto.worker.engine.statistics import gram_compute, gram_update, moments_compute, moments_update
from unit.engine.reference import Array, agree, gram, slope

SHAPE = (3, 4, 5)
CHANNELS, POSITIONS = 3, 20


def _random(seed: int, shape: tuple[int, ...] = SHAPE) -> Array:
    return np.random.default_rng(seed).normal(0.3, 1.0, shape)


def _naive_content(form: str, target: Array) -> Callable[[Array], float]:
    def naive(features: Array) -> float:
        total, size = 0.0, 0.0
        for index in np.ndindex(features.shape):
            total += (features[index] - target[index]) ** 2
            size += target[index] ** 2
        if form == "half_sum":
            return total / 2
        return total / features.size if form == "mean" else total / size

    return naive


def _content(features: torch.Tensor, target: torch.Tensor, form: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The engine's content loss of (B, C, H, W), and its gradient."""
    factor = content_factor(form, target[0].numel(), target.square().flatten(1).sum(1))
    gradient = torch.zeros_like(features)
    return add_content_slope(gradient, features, target, factor), gradient


@pytest.mark.parametrize("form", ["mean", "half_sum", "relative"])
def test_the_content_loss_is_its_formula_in_value_and_gradient(form: str) -> None:
    target, at = _random(1), _random(2)
    naive = _naive_content(form, target)
    value, gradient = _content(torch.tensor(at).unsqueeze(0), torch.tensor(target).unsqueeze(0), form)
    assert float(value) == pytest.approx(naive(at), rel=1e-10)
    np.testing.assert_allclose(gradient[0], slope(naive, at), rtol=1e-5, atol=1e-7)


def test_the_gram_matrix_is_the_papers_and_the_programs_but_for_its_divisor() -> None:
    features = _random(12)
    matrix = gram(features)
    pixels = torch.tensor(features).unsqueeze(0)
    a, b, c, d = pixels.shape
    flat = pixels.view(a * b, c * d)
    programs = (flat @ flat.T).div(a * b * c * d)
    found = gram_compute(gram_update(None, pixels))[0]
    np.testing.assert_allclose(found * POSITIONS, matrix, rtol=1e-12)
    torch.testing.assert_close(found / CHANNELS, programs)
    direction = _random(13, (CHANNELS, CHANNELS))

    def along(matrix: Array) -> float:
        return float(sum(direction[i, j] * matrix[i, j] for i in range(CHANNELS) for j in range(CHANNELS)))

    agree(
        lambda f: (gram_compute(gram_update(None, f)) * torch.tensor(direction)).sum((1, 2)),
        lambda f: along(gram(f)) / POSITIONS,
        features,
    )


def _naive_style(form: str, target: Array) -> Callable[[Array], float]:
    aim, aim_positions = gram(target), target.shape[1] * target.shape[2]

    def naive(features: Array) -> float:
        matrix = gram(features)
        positions = features.shape[1] * features.shape[2]
        total, size = 0.0, 0.0
        for i in range(CHANNELS):
            for j in range(CHANNELS):
                if form == "elements":
                    here, there = (
                        matrix[i, j] / (CHANNELS * positions),
                        aim[i, j] / (CHANNELS * aim_positions),
                    )
                    total += (here - there) ** 2 / CHANNELS**2
                elif form == "paper":
                    scaled = aim[i, j] * positions / aim_positions
                    total += (matrix[i, j] - scaled) ** 2 / (4 * CHANNELS**2 * positions**2)
                else:
                    total += (matrix[i, j] / positions - aim[i, j] / aim_positions) ** 2
                    size += (aim[i, j] / aim_positions) ** 2
        return total / size if form == "relative" else total

    return naive


@pytest.mark.parametrize("style_shape", [SHAPE, (3, 7, 2)])
@pytest.mark.parametrize("form", ["elements", "paper", "relative"])
def test_the_gram_loss_is_its_formula_in_value_and_gradient(form: str, style_shape: tuple[int, ...]) -> None:
    target = _random(3, style_shape)
    aim = gram_compute(gram_update(None, torch.tensor(target).unsqueeze(0)))

    def ours(features: torch.Tensor) -> torch.Tensor:
        return gram_loss(gram_compute(gram_update(None, features)), aim, form)

    agree(ours, _naive_style(form, target), _random(4))


def _naive_moments(form: str, target: Array) -> Callable[[Array], float]:
    def moments(features: Array) -> tuple[Array, Array]:
        flat = features.reshape(CHANNELS, -1)
        return flat.mean(axis=1), np.cov(flat, bias=True)

    aim_mean, aim_covariance = moments(target)

    def naive(features: Array) -> float:
        mean, covariance = moments(features)
        means, covariances = ((mean - aim_mean) ** 2).sum(), ((covariance - aim_covariance) ** 2).sum()
        if form == "elements":
            return float(means / CHANNELS**2 + covariances / CHANNELS**4)
        if form == "paper":
            return float(means / (4 * CHANNELS) + covariances / (4 * CHANNELS**2))
        return float(means / (aim_mean**2).sum() + covariances / (aim_covariance**2).sum())

    return naive


@pytest.mark.parametrize("form", ["elements", "paper", "relative"])
def test_the_covariance_loss_is_its_formula_in_value_and_gradient(form: str) -> None:
    target = _random(5)
    aim = moments_compute(moments_update(None, torch.tensor(target).unsqueeze(0)))

    def ours(features: torch.Tensor) -> torch.Tensor:
        return moments_loss(moments_compute(moments_update(None, features)), aim, form)

    agree(ours, _naive_moments(form, target), _random(6))


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 6), (3, 6, 1)])
def test_the_total_variation_is_its_formula_in_value_and_gradient(shape: tuple[int, int, int]) -> None:
    def naive(picture: Array) -> float:
        channels, height, width = picture.shape
        down = [
            (picture[c, y + 1, x] - picture[c, y, x]) ** 2
            for c in range(channels)
            for y in range(height - 1)
            for x in range(width)
        ]
        right = [
            (picture[c, y, x + 1] - picture[c, y, x]) ** 2
            for c in range(channels)
            for y in range(height)
            for x in range(width - 1)
        ]
        return sum(sum(part) / len(part) for part in (down, right) if part)

    agree(total_variation, naive, _random(7, shape))


def test_each_picture_of_a_stack_has_its_own_losses() -> None:
    stack = torch.tensor(np.stack([_random(8), _random(9)]))
    aim = torch.tensor(_random(10)).unsqueeze(0)
    aim_gram = gram_compute(gram_update(None, aim))

    def losses(features: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [
                _content(features, aim, "relative")[0],
                gram_loss(gram_compute(gram_update(None, features)), aim_gram, "paper"),
                total_variation(features),
            ]
        )

    torch.testing.assert_close(losses(stack), torch.cat([losses(stack[:1]), losses(stack[1:])], dim=1))


def test_a_target_of_zeros_leaves_relative_losses_finite() -> None:
    features = torch.tensor(_random(11)).unsqueeze(0)
    nothing = torch.zeros_like(features)
    aim = gram_compute(gram_update(None, nothing))
    assert _content(features, nothing, "relative")[0].isfinite().all()
    assert gram_loss(gram_compute(gram_update(None, features)), aim, "relative").isfinite().all()


feature_maps = st.builds(
    lambda seed, channels, positions: torch.tensor(_random(seed, (1, channels, positions))),
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.integers(1, 40),
)


@settings(deadline=None, max_examples=40)
@given(feature_maps, st.randoms(use_true_random=False))
def test_a_gram_matrix_is_symmetric_positive_semidefinite_and_blind_to_order(features, random) -> None:
    matrix = gram_compute(gram_update(None, features))
    torch.testing.assert_close(matrix, matrix.transpose(1, 2))
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-9
    order = list(range(features.shape[2]))
    random.shuffle(order)
    torch.testing.assert_close(gram_compute(gram_update(None, features[:, :, order])), matrix)


@settings(deadline=None, max_examples=40)
@given(feature_maps, st.integers(0, 40))
def test_statistics_do_not_care_how_the_positions_were_cut_up(features, cut) -> None:
    cut = min(cut, features.shape[2] - 1) or features.shape[2]
    chunks = [part for part in features.split([cut, features.shape[2] - cut], dim=2) if part.shape[2]]
    grams, moments = None, None
    for chunk in chunks:
        grams, moments = gram_update(grams, chunk), moments_update(moments, chunk)
    assert grams is not None
    assert moments is not None
    torch.testing.assert_close(gram_compute(grams), gram_compute(gram_update(None, features)))
    pieces, whole = moments_compute(moments), moments_compute(moments_update(None, features))
    torch.testing.assert_close(pieces.mean, whole.mean)
    torch.testing.assert_close(pieces.covariance, whole.covariance)
