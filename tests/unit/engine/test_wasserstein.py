from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto.shared.errors import Diverged
from impasto.worker.engine import Network, StyleSettings, TargetCache, stylize
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.statistics import (
    Moments,
    MomentSums,
    moments_compute,
    moments_update,
    style_compute,
)
from impasto.worker.engine.targets import Targets, compute_targets
from impasto.worker.engine.terms import Evaluation
from impasto.worker.engine.tiled import TiledObjective, style_sums, tiled_targets
from impasto.worker.engine.wasserstein import BLUR, Gaussian, gaussian, wasserstein_loss
from unit.engine.reference import Array, Double, agree, painted, tensor

FORMS = ("elements", "paper", "relative")
SETTINGS = {"style_statistic": "wasserstein", "style_weight": 1.0}


def _features(seed: int, shape: tuple[int, ...] = (3, 4, 5)) -> Array:
    return np.random.default_rng(seed).normal(0.3, 1.0, shape)


def _moments(features: Array) -> Moments:
    return moments_compute(moments_update(None, torch.tensor(features).unsqueeze(0)))


def _ours(features: torch.Tensor, target: Gaussian, form: str) -> torch.Tensor:
    return wasserstein_loss(moments_compute(moments_update(None, features)), target, form)


def _mean_and_covariance(features: Array) -> tuple[Array, Array]:
    """By loops over positions."""
    channels = features.shape[0]
    points = features.reshape(channels, -1).T
    mean = sum(points) / len(points)
    covariance = sum(np.outer(point - mean, point - mean) for point in points) / len(points)
    return mean, covariance


def _naive(features: Array, style: Array, form: str) -> float:
    """The roots' trace as that of the eigenvalues of S Σ, which is not symmetric and has the same ones as
    S^½ Σ S^½.
    """
    channels = features.shape[0]
    (mean, covariance), (aim_mean, aim) = _mean_and_covariance(features), _mean_and_covariance(style)
    squares = float((style**2).sum(0).mean())
    extra = BLUR * squares / channels * np.eye(channels)
    covariance, aim = covariance + extra, aim + extra
    shared = np.sqrt(np.linalg.eigvals(aim @ covariance).astype(complex)).real.sum()
    distance = ((mean - aim_mean) ** 2).sum() + np.trace(covariance) + np.trace(aim) - 2 * shared
    return float(distance / {"elements": channels**2, "paper": 4 * channels, "relative": squares}[form])


@pytest.mark.parametrize("style_shape", [(3, 4, 5), (3, 7, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_the_wasserstein_loss_is_its_formula_in_value_and_gradient(
    form: str, style_shape: tuple[int, ...]
) -> None:
    style = _features(1, style_shape)
    target = gaussian(_moments(style))
    agree(lambda f: _ours(f, target, form), lambda f: _naive(f, style, form), _features(2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("shape", "style_shape"),
    [((4, 1, 3), (4, 5, 5)), ((4, 5, 5), (4, 1, 2)), ((4, 1, 2), (4, 1, 2))],
    ids=["picture", "style", "both"],
)
def test_fewer_positions_than_channels_keep_value_and_gradient(
    form: str, shape: tuple[int, ...], style_shape: tuple[int, ...]
) -> None:
    style = _features(3, style_shape)
    target = gaussian(_moments(style))
    agree(lambda f: _ours(f, target, form), lambda f: _naive(f, style, form), _features(4, shape))


def test_a_square_is_the_distance_to_features_of_zeros() -> None:
    target = gaussian(_moments(_features(5)))
    nothing = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    assert float(_ours(nothing, target, "relative")) == pytest.approx(1, rel=0.02)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    channels=st.integers(1, 8),
    positions=st.integers(1, 12),
    style_positions=st.integers(1, 12),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_loss_is_never_negative_and_nothing_at_the_target(
    seed: int, channels: int, positions: int, style_positions: int, scale: float, dtype: torch.dtype
) -> None:
    style = torch.tensor(scale * _features(seed, (1, channels, style_positions)), dtype=dtype)
    features = torch.tensor(scale * _features(seed + 1, (1, channels, positions)), dtype=dtype)
    target = gaussian(moments_compute(moments_update(None, style)))
    assert float(_ours(features, target, "relative")) >= 0
    assert float(_ours(style, target, "relative")) <= 1e-10
    at_target = style.requires_grad_()
    (gradient,) = torch.autograd.grad(_ours(at_target, target, "relative"), at_target)
    assert float(gradient.norm() * style.detach().norm()) <= 1e-3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flat", ["picture", "style", "both"])
def test_features_without_variance_keep_value_and_gradient_finite(form: str, flat: str) -> None:
    level = torch.tensor([0.5, 0.0, 2.0]).view(1, 3, 1, 1)
    varied = torch.tensor(_features(6)).float().unsqueeze(0)
    constant = level.expand(1, 3, 4, 5)
    style = varied if flat == "picture" else constant
    features = (varied if flat == "style" else constant).clone().requires_grad_()
    target = gaussian(moments_compute(moments_update(None, style)))
    loss = _ours(features, target, form)
    (gradient,) = torch.autograd.grad(loss, features)
    assert bool(gradient.isfinite().all())
    expected = _naive(features.detach()[0].double().numpy(), style[0].double().numpy(), form)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_a_style_whose_features_are_zero_keeps_value_and_gradient_finite() -> None:
    target = gaussian(_moments(np.zeros((3, 4, 5))))
    features = torch.tensor(_features(6)).unsqueeze(0).requires_grad_()
    loss = _ours(features, target, "relative")
    (gradient,) = torch.autograd.grad(loss, features)
    assert bool(gradient.isfinite().all())
    assert 0 < float(loss.detach()) < float("inf")


def test_equal_eigenvalues_keep_the_gradient() -> None:
    """Where eigenvalues meet, eigenvectors have no derivative, but the distance has."""
    sums = MomentSums(1, torch.zeros(1, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[None])
    target = gaussian(moments_compute(sums))
    covariance = (4 * torch.eye(4, dtype=torch.float64))[None].requires_grad_()
    loss = wasserstein_loss(Moments(target.mean, covariance), target, "paper")
    (slope,) = torch.autograd.grad(loss, covariance)
    blur = float(target.variance)
    # 4 channels of (√(4 + b) − √(1 + b))², each with the slope 1 − √((1 + b) ÷ (4 + b)), ÷ 16.
    assert float(loss.detach()) == pytest.approx(((4 + blur) ** 0.5 - (1 + blur) ** 0.5) ** 2 / 4, rel=1e-12)
    expected = torch.eye(4, dtype=torch.float64) * (1 - ((1 + blur) / (4 + blur)) ** 0.5) / 16
    torch.testing.assert_close(slope[0], expected)


def test_what_is_not_finite_makes_no_error_but_a_loss_that_is_not() -> None:
    target = gaussian(_moments(_features(7)))
    stack = torch.tensor(np.stack([_features(8), _features(9)]))
    alone = _ours(stack[:1], target, "relative")
    stack[1, 0, 0, 0] = float("nan")
    found = _ours(stack.requires_grad_(), target, "relative")
    assert float(found[0].detach()) == pytest.approx(float(alone), rel=1e-12)
    assert bool(found[1].isnan())
    broken = gaussian(_moments(np.full((3, 4, 5), np.inf)))
    assert bool(_ours(stack[:1].detach(), broken, "relative").isnan())


def test_a_network_that_is_not_finite_is_a_divergence(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    chosen = StyleSettings.preset("gallery", **SETTINGS, steps=2, coarsest_px=None)
    broken = replace(network, deviation=torch.full_like(network.deviation, float("nan")))
    with pytest.raises(Diverged):
        stylize(scene, look, chosen, broken)


def test_each_picture_of_a_stack_has_its_own_distance() -> None:
    target = gaussian(_moments(_features(7)))
    stack = torch.tensor(np.stack([_features(8), _features(9)]))
    torch.testing.assert_close(
        _ours(stack, target, "relative"),
        torch.cat([_ours(stack[:1], target, "relative"), _ours(stack[1:], target, "relative")]),
    )


def test_the_wasserstein_statistic_is_its_formula_on_the_networks_features(
    network: Network, double: Double, scene: Image.Image, look: Image.Image
) -> None:
    chosen = StyleSettings.preset(
        "tutorial", **SETTINGS, content_layers=(), style_layers=("conv_1", "conv_3")
    )
    leaf = tensor(scene).requires_grad_()
    here, painting = double(leaf, "max", until=3), double(tensor(look), "max", until=3)
    total = torch.zeros((), dtype=torch.float64)
    for name in chosen.style_layers:
        x, p = here[name].flatten(2)[0], painting[name].flatten(2)[0]
        extra = BLUR * p.square().mean() * torch.eye(len(p), dtype=torch.float64)
        covariance, aim = torch.cov(x, correction=0) + extra, torch.cov(p, correction=0) + extra
        values = torch.linalg.eigvals(aim @ covariance)
        distance = (x.mean(1) - p.mean(1)).square().sum() + covariance.trace() + aim.trace()
        total = total + (distance - 2 * values.sqrt().real.sum()) / len(p) ** 2
    (gradient,) = torch.autograd.grad(total, leaf)
    targets = compute_targets(scene, look, chosen, network, torch.float32, TargetCache())
    found = Objective(targets, chosen, network, torch.float32)(leaf.detach().float())
    assert found.told()[0].total == pytest.approx(float(total.detach()), rel=1e-4)
    assert (found.gradient.double() - gradient).norm() <= 1e-3 * gradient.norm()


def _both(
    network: Network, chosen: StyleSettings, size: tuple[int, int], dtype: torch.dtype
) -> tuple[Evaluation, Evaluation]:
    height, width = size
    scene, look = painted(width, height, seed=1), painted(52, 47, seed=2)
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3), dtype=dtype)
    targets = compute_targets(scene, look, chosen, network, dtype, TargetCache())
    aims = Targets(content={}, style=targets.style)
    whole = Objective(targets, chosen, network, dtype)(picture)
    return whole, TiledObjective(scene, aims, chosen, network, dtype, tile_px=24)(picture)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
def test_tiles_have_the_whole_pictures_loss_and_gradient(
    network: Network, form: str, dtype: torch.dtype, tolerance: float
) -> None:
    chosen = StyleSettings.preset("gallery", **SETTINGS, style_normalisation=form)
    whole, tiled = _both(network, chosen, (75, 51), dtype)
    assert tiled.told()[0].style == pytest.approx(whole.told()[0].style, rel=tolerance)
    assert (tiled.gradient - whole.gradient).norm() <= tolerance * whole.gradient.norm()


def test_a_tiled_styles_target_is_the_whole_styles(network: Network) -> None:
    chosen = StyleSettings.preset("gallery", **SETTINGS)
    scene, look = painted(40, 30, seed=4), painted(91, 77, seed=5)
    whole = compute_targets(scene, look, chosen, network, torch.float32, TargetCache())
    tiled = tiled_targets(scene, [(look, 1.0)], chosen, network, torch.float32, TargetCache(), tile_px=32)
    for name in chosen.style_layers:
        one, other = whole.style[name], tiled.style[name]
        assert isinstance(one, Gaussian)
        assert isinstance(other, Gaussian)
        torch.testing.assert_close(other.root, one.root, rtol=1e-4, atol=1e-4 * float(one.root.abs().max()))
        torch.testing.assert_close(other.squares, one.squares, rtol=1e-4, atol=0)


def test_its_sums_are_those_of_the_covariance(network: Network, look: Image.Image) -> None:
    found: dict[str, dict[str, Any]] = {}
    for statistic in ("covariance", "wasserstein"):
        chosen = StyleSettings.preset("gallery", style_statistic=statistic)
        sums = style_sums(look, chosen, network, torch.float32, tile_px=1000)
        found[statistic] = {name: style_compute(layer) for name, layer in sums.items()}
    for name, moments in found["covariance"].items():
        assert torch.equal(moments.covariance, found["wasserstein"][name].covariance)


def test_the_root_is_taken_once_a_target_and_its_bytes_are_counted(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    chosen = StyleSettings.preset("gallery", **SETTINGS, content_layers=(), style_layers=("relu1_1",))
    cache = TargetCache()
    first = compute_targets(scene, look, chosen, network, torch.float32, cache).style["relu1_1"]
    held = cache.held_bytes
    assert compute_targets(scene, look, chosen, network, torch.float32, cache).style["relu1_1"] is first
    assert isinstance(first, Gaussian)
    assert held >= first.root.nbytes + first.covariance.nbytes + first.mean.nbytes
    # The same settings but for the statistic have targets of their own.
    other = StyleSettings.parse({**chosen.model_dump(), "style_statistic": "covariance"})
    assert not isinstance(
        compute_targets(scene, look, other, network, torch.float32, cache).style["relu1_1"], Gaussian
    )


def test_several_styles_are_aimed_at_through_one_gaussian(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    chosen = StyleSettings.preset("tutorial", **SETTINGS, style_layers=("conv_1",))

    def aim(style: Any) -> Gaussian:
        found = compute_targets(scene, style, chosen, network, torch.float32, TargetCache()).style["conv_1"]
        assert isinstance(found, Gaussian)
        return found

    first, second, both = aim(look), aim(scene), aim([(look, 0.25), (scene, 0.75)])
    torch.testing.assert_close(both.mean, 0.25 * first.mean + 0.75 * second.mean)
    torch.testing.assert_close(both.covariance, 0.25 * first.covariance + 0.75 * second.covariance)
    blur = both.variance.view(1, 1, 1) * torch.eye(64, dtype=torch.float64)
    torch.testing.assert_close(both.root @ both.root, both.covariance.double() + blur, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [None, "half"])
def test_a_run_lowers_its_loss_under_a_mask_too(
    network: Network, scene: Image.Image, look: Image.Image, mask: str | None
) -> None:
    chosen = StyleSettings.preset("gallery", **SETTINGS, steps=8, coarsest_px=None)
    half = Image.linear_gradient("L").resize(scene.size) if mask else None
    result = stylize(scene, look, chosen, network, mask=half)
    assert result.recoveries == 0
    assert result.losses[-1].style < 0.7 * result.losses[0].style
