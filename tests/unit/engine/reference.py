"""The formulas written down a second time, plainly and in double precision, to hold the engine against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from impasto.worker.engine import Network

Array = NDArray[np.float64]
VGG19 = (2, 2, 4, 4, 4)


class Double:
    """VGG-19's features by the tutorial's and the paper's names, in float64, one operation after another."""

    def __init__(self, network: Network) -> None:
        self.convolutions = [(k.double().contiguous(), b.double()) for k, b in network.convolutions]
        self.mean, self.deviation = network.mean.double(), network.deviation.double()

    def __call__(self, picture: torch.Tensor, pooling: str, until: int = 16) -> dict[str, torch.Tensor]:
        x = (picture - self.mean) / self.deviation
        features: dict[str, torch.Tensor] = {}
        count = 0
        for block, depth in enumerate(VGG19, start=1):
            for place in range(1, depth + 1):
                if count == until:
                    return features
                kernel, bias = self.convolutions[count]
                count += 1
                x = F.conv2d(x, kernel, bias, padding=1)
                features[f"conv_{count}"] = features[f"conv{block}_{place}"] = x
                x = F.relu(x)
                features[f"relu_{count}"] = features[f"relu{block}_{place}"] = x
            x = F.avg_pool2d(x, 2) if pooling == "average" else F.max_pool2d(x, 2)
            features[f"pool_{count}"] = features[f"pool{block}"] = x
        return features


def tensor(picture: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1], float64."""
    return torch.tensor(np.asarray(picture) / 255.0).permute(2, 0, 1).unsqueeze(0)


def slope(function: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """The gradient by central differences."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        there, back = at.copy(), at.copy()
        there[index] += step
        back[index] -= step
        gradient[index] = (function(there) - function(back)) / (2 * step)
    return gradient


def agree(ours: Callable[[torch.Tensor], torch.Tensor], naive: Callable[[Array], float], at: Array) -> None:
    """Both have the same value and the same gradient at (C, H, W)."""
    leaf = torch.tensor(at).unsqueeze(0).requires_grad_()
    value = ours(leaf)
    assert value.shape == (1,)
    value.sum().backward()
    assert leaf.grad is not None
    assert float(value.detach()) == pytest.approx(naive(at), rel=1e-10)
    np.testing.assert_allclose(leaf.grad[0].numpy(), slope(naive, at), rtol=1e-5, atol=1e-7)


def gram(features: Array) -> Array:
    """G_ij = Σ_k F_ik F_jk of (C, H, W), by loops (Gatys et al. 2016, eq. 3)."""
    channels, height, width = features.shape
    matrix = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for y in range(height):
                for x in range(width):
                    matrix[i, j] += features[i, y, x] * features[j, y, x]
    return matrix


def painted(width: int, height: int, seed: int) -> Image.Image:
    """Short strokes of few colours."""
    rng = np.random.default_rng(seed)
    canvas = np.full((height, width, 3), 0.4)
    colours = np.array([[0.1, 0.2, 0.6], [0.9, 0.8, 0.3], [0.6, 0.7, 0.9], [0.1, 0.1, 0.1]])
    for _ in range(width * height // 8):
        y, x = rng.integers(height), rng.integers(width)
        canvas[y : y + 2, x : x + rng.integers(2, 9)] = colours[rng.integers(len(colours))]
    return Image.fromarray(np.uint8(255 * canvas))
