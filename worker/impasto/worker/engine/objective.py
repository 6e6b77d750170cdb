"""Loss and gradient of whole pictures against fixed targets."""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.device import device_memory
from impasto.worker.engine.images import frame_margin, framed, unframed
from impasto.worker.engine.losses import content_factor, total_variation
from impasto.worker.engine.network import Network
from impasto.worker.engine.passes import Pass
from impasto.worker.engine.slopes import add_content_slope, add_style_slopes, style_slopes
from impasto.worker.engine.statistics import style_update
from impasto.worker.engine.targets import Targets
from impasto.worker.engine.terms import Evaluation, Terms


class Objective:
    """Loss and gradient of pictures (B, 3, H, W) in [0, 1] against fixed targets, which are of B pictures or
    of one that all share.
    """

    def __init__(
        self, targets: Targets, settings: StyleSettings, network: Network, dtype: torch.dtype
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._device = network.device
        self._trunk = network.trunk(
            (*settings.content_layers, *settings.style_layers), pooling=settings.pooling, dtype=dtype
        )
        self._content_factors = {
            name: settings.content_weight
            * content_factor(settings.content_loss, target[0].numel(), target.square().flatten(1).sum(1))
            for name, target in targets.content.items()
        }

    def __call__(self, pictures: Tensor) -> Evaluation:
        with device_memory(self._device):
            return self._evaluate(pictures)

    def _evaluate(self, pictures: Tensor) -> Evaluation:
        settings = self._settings
        nothing = torch.zeros(pictures.shape[0], device=self._device)
        content, style, tv = nothing, nothing, nothing
        gradient = torch.zeros_like(pictures)
        if self._trunk.layers:
            content, style, slope = self._losses(framed(pictures, settings.padding))
            margins = frame_margin((pictures.shape[2], pictures.shape[3]), settings.padding)
            gradient = unframed(slope.to(pictures.dtype), margins)
        if settings.tv_weight:
            with torch.enable_grad():
                leaf = pictures.detach().requires_grad_()
                tv = settings.tv_weight * total_variation(leaf)
            gradient = gradient + torch.autograd.grad(tv.sum(), leaf)[0]
        return Evaluation(Terms(content, style, tv.detach()), gradient.contiguous())

    def _losses(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Content and style loss, (B,), of pictures as the network sees them, and their gradient."""
        settings, targets = self._settings, self._targets
        run = Pass(self._trunk, pictures)
        sums = {
            name: style_update(None, run.features[name], settings.style_statistic, targets.weights.get(name))
            for name in settings.style_layers
        }
        content = torch.zeros(pictures.shape[0], device=self._device)
        style, slopes = style_slopes(sums, targets, settings) if sums else (content, {})

        def add(name: str, gradient: Tensor) -> None:
            nonlocal content
            features = run.features[name]
            if name in slopes:
                add_style_slopes(gradient, features, slopes[name], targets.weights.get(name))
            if name in self._content_factors:
                factor = self._content_factors[name]
                content = content + add_content_slope(gradient, features, targets.content[name], factor)

        gradient = run.back(add)
        return content, style, gradient
