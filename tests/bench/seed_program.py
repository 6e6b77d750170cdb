"""The seed text's program, restated: what the engine is measured against.

The PyTorch tutorial's structure: losses as modules in a copy of the network, whose weights keep their
gradients, NCHW, float32, torch's L-BFGS with its defaults, and the picture clamped inside the closure. Only
the weights are the engine's, so that both sides minimise the same loss.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from impasto.worker.engine.network import Network

CONTENT_LAYERS = ("conv_4",)
STYLE_LAYERS = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5")
CONTENT_WEIGHT = 1.0
STYLE_WEIGHT = 1e6
# The VGG-19 trunk up to its fifth convolution, where the tutorial cuts it.
_LAYERS = ("conv", "relu", "conv", "relu", "pool", "conv", "relu", "conv", "relu", "pool", "conv")


class _Normalization(nn.Module):
    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean = mean.view(-1, 1, 1)
        self.std = std.view(-1, 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        return (picture - self.mean) / self.std


class _ContentLoss(nn.Module):
    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target = target.detach()
        self.loss = torch.zeros(())

    def forward(self, features: Tensor) -> Tensor:
        self.loss = F.mse_loss(features, self.target)
        return features


def _gram_matrix(features: Tensor) -> Tensor:
    a, b, c, d = features.size()
    flat = features.view(a * b, c * d)
    return torch.mm(flat, flat.t()).div(a * b * c * d)


class _StyleLoss(nn.Module):
    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target = _gram_matrix(target).detach()
        self.loss = torch.zeros(())

    def forward(self, features: Tensor) -> Tensor:
        self.loss = F.mse_loss(_gram_matrix(features), self.target)
        return features


class SeedProgram:
    """Content and style are (1, 3, H, W) in [0, 1], of one size."""

    def __init__(self, content: Tensor, style: Tensor, network: Network) -> None:
        self.content = content
        self._content_losses: list[_ContentLoss] = []
        self._style_losses: list[_StyleLoss] = []
        self._model = nn.Sequential(_Normalization(network.mean, network.deviation))
        convolutions = iter(network.convolutions)
        count = 0
        for kind in _LAYERS:
            if kind == "conv":
                count += 1
                self._model.append(_convolution(*next(convolutions)))
                name = f"conv_{count}"
                if name in CONTENT_LAYERS:
                    content_loss = _ContentLoss(self._model(content).detach())
                    self._model.append(content_loss)
                    self._content_losses.append(content_loss)
                if name in STYLE_LAYERS:
                    style_loss = _StyleLoss(self._model(style).detach())
                    self._model.append(style_loss)
                    self._style_losses.append(style_loss)
            else:
                self._model.append(nn.ReLU(inplace=False) if kind == "relu" else nn.MaxPool2d(2, 2))
        self._model.eval()

    def loss(self, picture: Tensor) -> Tensor:
        self._model(picture)
        style = torch.stack([layer.loss for layer in self._style_losses]).sum()
        content = torch.stack([layer.loss for layer in self._content_losses]).sum()
        return STYLE_WEIGHT * style + CONTENT_WEIGHT * content

    def score(self, picture: Tensor) -> float:
        """The loss alone, in float32."""
        with torch.no_grad():
            return float(self.loss(picture))


def _convolution(kernel: Tensor, bias: Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, device=kernel.device)
    with torch.no_grad():
        layer.weight.copy_(kernel.contiguous())
        layer.bias.copy_(bias)  # type: ignore[union-attr]
    return layer


@dataclass
class SeedRun:
    """The loss at each evaluation, and the seconds at its end, counted from before the model is built."""

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(loss for loss in self.losses if loss == loss)


class _BudgetSpent(Exception):
    pass


def run_seed_program(content: Tensor, style: Tensor, network: Network, evaluations: int) -> SeedRun:
    """The program from the content, cut off after exactly that many evaluations."""
    began = time.perf_counter()
    program = SeedProgram(content, style, network)
    picture = content.clone().contiguous().requires_grad_()
    optimizer = torch.optim.LBFGS([picture])
    run = SeedRun()

    def closure() -> Tensor:
        if len(run.losses) == evaluations:
            raise _BudgetSpent
        with torch.no_grad():
            picture.clamp_(0, 1)
        optimizer.zero_grad()
        loss = program.loss(picture)
        loss.backward()
        run.losses.append(loss.item())
        run.seconds.append(time.perf_counter() - began)
        return loss

    with suppress(_BudgetSpent):
        while True:
            optimizer.step(closure)  # type: ignore[no-untyped-call]
    return run
