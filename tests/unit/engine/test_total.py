"""Eq. 7 with everything in it, against plain torch in double precision: value and gradient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from impasto.worker.engine import Network, StyleSettings, TargetCache, stylize
from impasto.worker.engine.images import noise
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.targets import compute_targets
from unit.engine.reference import Double, painted, tensor

LAYERS = {
    "content_layers": ("conv2_2", "relu3_1"),
    "style_layers": ("conv1_1", "relu2_1", "pool2"),
    "style_layer_weights": (0.5, 2.0, 1.0),
}
WEIGHTS = {"content_weight": 0.3, "style_weight": 7.0, "tv_weight": 2.0}
DEPTHS = {"conv1_1": 0, "relu2_1": 1, "pool2": 2}


def _content(form: str, here: torch.Tensor, aim: torch.Tensor) -> torch.Tensor:
    if form == "half_sum":
        return (here - aim).square().sum() / 2
    return F.mse_loss(here, aim) / (aim.square().mean() if form == "relative" else 1)


def _style(
    settings: StyleSettings, here: torch.Tensor, aim: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Of features (C, M), of which position k of `here` counts `counts[k]` times."""
    channels, form = len(here), settings.style_normalisation
    (mean, second), (aim_mean, aim_second) = (
        ((x * k).mean(1), (x * k) @ x.T / x.shape[1]) for x, k in ((here, counts), (aim, torch.ones(1)))
    )
    means = torch.zeros((), dtype=here.dtype)
    if settings.style_statistic == "covariance":
        second, aim_second = second - torch.outer(mean, mean), aim_second - torch.outer(aim_mean, aim_mean)
        divisor = {"elements": channels**2, "paper": 4 * channels, "relative": aim_mean.square().sum()}[form]
        means = (mean - aim_mean).square().sum() / divisor
    divisor = {"elements": channels**4, "paper": 4 * channels**2, "relative": aim_second.square().sum()}[form]
    return means + (second - aim_second).square().sum() / divisor


FORMS = list(
    itertools.product(
        ("gram", "covariance"),
        ("elements", "paper", "relative"),
        ("mean", "half_sum", "relative"),
        (False, True),
    )
)


@pytest.mark.parametrize(("statistic", "normalisation", "content_loss", "masked"), FORMS)
def test_the_total_is_the_weighted_sum_of_its_formulas_in_value_and_gradient(
    statistic: str, normalisation: str, content_loss: str, masked: bool, network: Network, double: Double
) -> None:
    settings = StyleSettings.preset(
        "tutorial",
        **LAYERS,
        **WEIGHTS,
        style_statistic=statistic,
        style_normalisation=normalisation,
        content_loss=content_loss,
        pooling="average" if masked else "max",
    )
    scene, look = painted(30, 26, seed=1), painted(23, 28, seed=2)
    mask = Image.linear_gradient("L").resize(scene.size) if masked else None
    leaf = torch.rand(1, 3, 26, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    leaf.requires_grad_()
    here, aim, painting = (double(x, settings.pooling, until=5) for x in (leaf, tensor(scene), tensor(look)))
    content = torch.stack([_content(content_loss, here[n], aim[n]) for n in settings.content_layers]).sum()
    style = torch.zeros((), dtype=torch.float64)
    for name, weight in zip(settings.style_layers, LAYERS["style_layer_weights"], strict=True):
        counts = torch.ones(1, 1, 26, 30, dtype=torch.float64)
        if mask is not None:
            counts = torch.tensor(np.asarray(mask) / 255.0)[None, None]
        for _ in range(DEPTHS[name]):
            counts = F.avg_pool2d(counts, 2)
        counts = (counts / counts.mean()).flatten()
        style = style + float(weight) * _style(
            settings, here[name][0].flatten(1), painting[name][0].flatten(1), counts
        )
    if normalisation == "relative":
        style = style / len(settings.style_layers)
    tv = leaf.diff(dim=2).square().mean() + leaf.diff(dim=3).square().mean()
    total = 0.3 * content + 7.0 * style + 2.0 * tv
    (gradient,) = torch.autograd.grad(total, leaf)

    aims = compute_targets(scene, look, settings, network, torch.float64, TargetCache(), mask)
    found = Objective(aims, settings, network, torch.float64)(leaf.detach())
    # Statistics of targets are taken in float32 from pictures that are.
    expected = [float(term.detach()) for term in (0.3 * content, 7 * style, 2 * tv, total)]
    assert list(found.told()[0]) == pytest.approx(expected, rel=1e-5)
    assert (found.gradient - gradient).norm() <= 1e-5 * gradient.norm()


def test_a_start_from_noise_is_the_seeds_white_noise_and_knows_nothing_of_the_content(
    network: Network, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("gatys", steps=1, seed=5, size_px=32)
    small = scene.resize((32, 23), Image.Resampling.LANCZOS)
    style = look.resize((32, 32), Image.Resampling.LANCZOS)
    aims = compute_targets(small, style, settings, network, torch.float32, TargetCache())
    start = noise((32, 23), 5, network.device)
    expected = Objective(aims, settings, network, torch.float32)(start).told()[0].total
    assert stylize(scene, look, settings, network).losses[0].total == pytest.approx(expected, rel=1e-6)
    alone = settings.model_copy(update={"content_layers": ()})
    first, second = (
        stylize(picture, look, alone, network).losses[0].total
        for picture in (scene, painted(*scene.size, seed=7))
    )
    assert first == second


@pytest.mark.parametrize("statistic", ["gram", "covariance", "wasserstein"])
def test_relative_losses_hardly_depend_on_the_size(statistic: str, network: Network) -> None:
    """The same pair at 96 and at 192 px, and a picture between its two."""
    scene, look = painted(192, 144, seed=1).resize((768, 576)), painted(192, 192, seed=2).resize((768, 768))

    def terms(size_px: int, **changes: object) -> tuple[float, float]:
        settings = StyleSettings.preset("gallery", style_statistic=statistic, **changes)
        size = (size_px, size_px * 3 // 4)
        content, style = scene.resize(size, 1), look.resize((size_px, size_px), 1)
        aims = compute_targets(content, style, settings, network, torch.float32, TargetCache())
        between = Image.blend(content, style.resize(size, 1), 0.5)
        (found,) = Objective(aims, settings, network, torch.float32)(tensor(between).float()).told()
        return found.content, found.style

    small, large = terms(96), terms(192)
    assert 1 / 1.4 < large[0] / small[0] < 1.4
    assert 1 / 1.4 < large[1] / small[1] < 1.4
    # What a sum over positions makes of the same.
    assert terms(192, content_loss="half_sum")[0] / terms(96, content_loss="half_sum")[0] > 4
