from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.models.vgg
from PIL import Image

from impasto.worker.engine import Network, load_network
from unit.engine.reference import Double, painted


@pytest.fixture(scope="session")
def network() -> Network:
    return load_network("caffe", device="cpu")


@pytest.fixture(scope="session")
def double(network: Network) -> Double:
    return Double(network)


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    """A photograph's stand-in: soft shapes with an edge."""
    y, x = np.mgrid[0:40, 0:56] / 40
    sky = np.stack([0.3 + 0.4 * y, 0.5 + 0.3 * y, 0.9 - 0.3 * x], axis=2)
    hill = (y > 0.5 + 0.2 * np.sin(4 * x))[..., None]
    ground = np.stack([0.4 + 0.2 * x, 0.5 * y + 0.1, 0.1 + 0 * x], axis=2)
    return Image.fromarray(np.uint8(255 * np.clip(np.where(hill, ground, sky), 0, 1)))


@pytest.fixture(scope="session")
def look() -> Image.Image:
    return painted(48, 48, seed=3)


@pytest.fixture(scope="session")
def vgg16_state() -> dict[str, torch.Tensor]:
    """A torchvision-format state dict of a VGG-16 with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    return {f"features.{name}": value for name, value in features.state_dict().items()}
