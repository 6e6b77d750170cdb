"""Presets against restatements that share no code with the engine: the same weights, in double precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from impasto.worker.engine import Network, StyleSettings, TargetCache
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.targets import compute_targets
from impasto.worker.engine.terms import Evaluation
from unit.engine.reference import Double, painted, tensor

PAPER_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def _ours(
    network: Network, settings: StyleSettings, content: Image.Image, style: Image.Image, at: torch.Tensor
) -> Evaluation:
    targets = compute_targets(content, style, settings, network, torch.float32, TargetCache())
    return Objective(targets, settings, network, torch.float32)(at.float())


def _assert_same(found: Evaluation, total: torch.Tensor, leaf: torch.Tensor, tolerance: float = 1e-4) -> None:
    (gradient,) = torch.autograd.grad(total, leaf)
    assert abs(found.told()[0].total - float(total.detach())) <= tolerance * float(total.detach())
    assert (found.gradient.double() - gradient).norm() <= tolerance * gradient.norm()


def _gram_matrix(features: torch.Tensor) -> torch.Tensor:
    a, b, c, d = features.size()
    flat = features.view(a * b, c * d)
    return torch.mm(flat, flat.t()).div(a * b * c * d)


def test_the_tutorial_preset_has_the_tutorial_programs_loss_and_gradient(
    network: Network, double: Double, scene: Image.Image, look: Image.Image
) -> None:
    content, style = tensor(scene), tensor(look)
    model: list[nn.Module] = []
    losses: list[tuple[int, torch.Tensor, bool]] = []

    def through(picture: torch.Tensor, until: int) -> torch.Tensor:
        x = (picture - double.mean) / double.deviation
        for module in model[:until]:
            x = module(x)
        return x

    with torch.no_grad():
        for number, (kernel, bias) in enumerate(double.convolutions[:5], start=1):
            convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, dtype=torch.float64)
            convolution.weight.copy_(kernel)
            convolution.bias.copy_(bias)
            model.append(convolution)
            if number == 4:
                losses.append((len(model), through(content, len(model)), False))
            losses.append((len(model), _gram_matrix(through(style, len(model))), True))
            model.append(nn.ReLU())
            if number in (2, 4):
                model.append(nn.MaxPool2d(2, 2))

    leaf = (0.7 * tensor(scene) + 0.3 * tensor(painted(56, 40, seed=8))).requires_grad_()
    style_score = sum(
        F.mse_loss(_gram_matrix(through(leaf, n)), aim) for n, aim, is_style in losses if is_style
    )
    content_score = sum(F.mse_loss(through(leaf, n), aim) for n, aim, is_style in losses if not is_style)
    found = _ours(network, StyleSettings.preset("tutorial"), scene, look, leaf.detach())
    _assert_same(found, 1_000_000 * style_score + 1 * content_score, leaf)


def test_the_gatys_preset_has_the_papers_loss_and_gradient(
    network: Network, double: Double, scene: Image.Image
) -> None:
    look = painted(56, 40, seed=4)
    leaf = torch.rand(1, 3, 40, 56, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    leaf.requires_grad_()
    here = double(leaf, "average", until=13)
    aim = double(tensor(scene), "average", until=13)
    painting = double(tensor(look), "average", until=13)
    content = (here["conv4_2"] - aim["conv4_2"]).square().sum() / 2
    style = torch.zeros((), dtype=torch.float64)
    for name in PAPER_LAYERS:
        _, n, height, width = here[name].shape
        m = height * width
        g, a = (x[name].reshape(n, m) @ x[name].reshape(n, m).T for x in (here, painting))
        style = style + 0.2 * (g - a).square().sum() / (4 * n**2 * m**2)
    settings = StyleSettings.preset("gatys")
    tv = leaf.diff(dim=2).square().mean() + leaf.diff(dim=3).square().mean()
    total = settings.content_weight * content + settings.style_weight * style + settings.tv_weight * tv
    _assert_same(_ours(network, settings, scene, look, leaf.detach()), total, leaf)


def test_the_gallery_preset_has_its_documented_loss_and_gradient(
    network: Network, double: Double, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("gallery")
    leaf = (0.5 * tensor(scene) + 0.5 * tensor(painted(56, 40, seed=9))).requires_grad_()

    def seen(picture: torch.Tensor) -> torch.Tensor:
        """In 8 px of its mirror image, by indices."""
        down, across = (
            [*range(8, 0, -1), *range(side), *range(side - 2, side - 10, -1)] for side in picture.shape[2:]
        )
        return picture[:, :, down][:, :, :, across]

    here, aim, painting = (
        double(seen(x), settings.pooling, until=10) for x in (leaf, tensor(scene), tensor(look))
    )
    content = torch.zeros((), dtype=torch.float64)
    for name in settings.content_layers:
        content = content + (here[name] - aim[name]).square().mean() / aim[name].square().mean()
    style = torch.zeros((), dtype=torch.float64)
    for name in settings.style_layers:
        (mean, cov), (aim_mean, aim_cov) = (
            (x.mean(1), torch.cov(x, correction=0))
            for x in (here[name].flatten(2)[0], painting[name].flatten(2)[0])
        )
        style = style + (mean - aim_mean).square().sum() / aim_mean.square().sum()
        style = style + (cov - aim_cov).square().sum() / aim_cov.square().sum()
    style = style / len(settings.style_layers)
    tv = leaf.diff(dim=2).square().mean() + leaf.diff(dim=3).square().mean()
    total = settings.content_weight * content + settings.style_weight * style + settings.tv_weight * tv
    found = _ours(network, settings, scene, look, leaf.detach())
    _assert_same(found, total, leaf)
    assert found.told()[0].tv > 0
    assert settings.style_layer_weights is None


def test_the_covariance_statistic_is_the_seed_texts_cross_covariance(
    network: Network, double: Double, scene: Image.Image, look: Image.Image
) -> None:
    settings = StyleSettings.preset("tutorial", style_statistic="covariance", content_layers=())
    leaf = tensor(scene).requires_grad_()
    here, painting = double(leaf, "max", until=5), double(tensor(look), "max", until=5)
    total = torch.zeros((), dtype=torch.float64)
    for name in settings.style_layers:
        (mean, cov), (aim_mean, aim_cov) = (
            (x.mean(1), torch.cov(x, correction=0))
            for x in (here[name].flatten(2)[0], painting[name].flatten(2)[0])
        )
        n = len(mean)
        total = total + (mean - aim_mean).square().mean() / n + (cov - aim_cov).square().mean() / n**2
    _assert_same(_ours(network, settings, scene, look, leaf.detach()), settings.style_weight * total, leaf)


def test_a_convolutions_own_answer_is_not_touched_by_the_relu_after_it(
    network: Network, double: Double
) -> None:
    picture = torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(3))
    names = ("conv_2", "relu_2", "conv4_1", "relu4_1", "pool3")
    for pooling in ("max", "average"):
        expected = double(picture.double(), pooling, until=9)
        found = network.trunk(names, pooling=pooling)(picture)
        assert set(found) == set(names)
        for name in names:
            torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-4, atol=1e-4)


def test_the_trunk_is_cut_after_the_last_layer_in_use(network: Network) -> None:
    assert len(network.trunk(("conv_4", "conv_2"), pooling="max").layers) == len(
        ["conv_1", "relu_1", "conv_2", "relu_2", "pool_2", "conv_3", "relu_3", "conv_4"]
    )
