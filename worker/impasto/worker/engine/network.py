"""A VGG feature trunk, frozen and loaded once, and the part of it that one set of layers needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from impasto.shared.errors import BadSettings
from impasto.worker.engine.device import device_memory, resolve_device
from impasto.worker.engine.layers import Layer, layer_position, trunk_layers
from impasto.worker.engine.weights import load_weights
from impasto.worker.engine.winograd import TransformedKernel, convolve, gains


@dataclass(frozen=True)
class Network:
    """The whole trunk's frozen convolutions on one device; nothing in it changes after it is loaded.

    `weights` is the provider that was asked for, `weights_digest` the sha256 of the file it came from.
    """

    architecture: str
    weights: str
    weights_digest: str
    device: torch.device
    convolutions: tuple[tuple[Tensor, Tensor], ...]
    mean: Tensor
    deviation: Tensor
    _transformed: dict[int, TransformedKernel] = field(default_factory=dict, compare=False, repr=False)

    def trunk(self, names: Collection[str], *, pooling: str, dtype: torch.dtype = torch.float32) -> Trunk:
        """The trunk up to the last of the named layers. Raises BadSettings, naming a layer that is not in
        it.
        """
        wanted: dict[int, tuple[str, ...]] = {}
        for name in dict.fromkeys(names):
            position = layer_position(name, self.architecture)
            wanted[position] = (*wanted.get(position, ()), name)
        depth = max(wanted) + 1 if wanted else 0
        layers = trunk_layers(self.architecture)[:depth]
        used = self.convolutions[: sum(layer.kind == "conv" for layer in layers)]
        return Trunk(
            layers=layers,
            wanted=wanted,
            # The cast is made anew for each call, so that no state hides in a shared network.
            convolutions=tuple(
                Convolution(kernel.to(dtype), bias.to(dtype), self._transform(i, dtype))
                for i, (kernel, bias) in enumerate(used)
            ),
            mean=self.mean,
            deviation=self.deviation,
            average=pooling == "average",
            dtype=dtype,
        )

    def _transform(self, place: int, dtype: torch.dtype) -> TransformedKernel | None:
        """The kernel for `winograd`, made on first use: it follows from the kernel, whoever asks."""
        kernel = self.convolutions[place][0]
        if dtype != kernel.dtype or not gains(kernel):
            return None
        if place not in self._transformed:
            self._transformed[place] = TransformedKernel(kernel)
        return self._transformed[place]


@dataclass(frozen=True)
class Convolution:
    """One frozen 3 × 3 convolution with zero padding, (B, I, H, W) → (B, O, H, W)."""

    kernel: Tensor
    bias: Tensor
    transformed: TransformedKernel | None

    def __call__(self, x: Tensor) -> Tensor:
        if self.transformed is not None:
            return convolve(x, self.transformed.forward, self.bias)
        return F.conv2d(x, self.kernel, self.bias, padding=1)

    def back(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to x, of that with respect to the answer."""
        if self.transformed is not None:
            return convolve(gradient, self.transformed.backward, None)
        batch, _, height, width = gradient.shape
        size = (batch, self.kernel.shape[1], height, width)
        answer: Tensor = conv2d_input(size, self.kernel, gradient, padding=1)  # type: ignore[no-untyped-call]
        return answer


@dataclass(frozen=True)
class Trunk:
    """Layers in order, cut after the last that is wanted."""

    layers: tuple[Layer, ...]
    wanted: dict[int, tuple[str, ...]]
    convolutions: tuple[Convolution, ...]
    mean: Tensor
    deviation: Tensor
    average: bool
    dtype: torch.dtype

    def normalised(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) as the first layer takes them: the seed text's ImageNet normalisation."""
        return ((pictures - self.mean) / self.deviation).to(self.dtype, memory_format=torch.channels_last)

    def told(self, x: Tensor) -> Tensor:
        """A layer's answer in the precision in which losses are computed."""
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        """Features by layer name, (B, C, H, W), of RGB pictures (B, 3, H, W) in [0, 1]: float32, or float64
        where the trunk computes in it. `passes.Pass` is the same with a way back.
        """
        features: dict[str, Tensor] = {}
        x = self.normalised(pictures)
        for position, layer in enumerate(self.layers):
            if layer.kind == "conv":
                x = self.convolutions[layer.convolution - 1](x)
            elif layer.kind == "relu":
                # In place, unless somebody looks at the convolution's own answer.
                x = F.relu(x, inplace=position - 1 not in self.wanted)
            else:
                x = pool(x, average=self.average)
            for name in self.wanted.get(position, ()):
                features[name] = self.told(x)
        return features


def pool(x: Tensor, *, average: bool) -> Tensor:
    """2 × 2 pooling of (B, C, H, W) by stride 2, odd remainders dropped as VGG does."""
    return F.avg_pool2d(x, window(x)) if average else F.max_pool2d(x, window(x))


def window(x: Tensor) -> list[int]:
    """Rows and columns that are pooled into one. A side that is down to one position stays: a picture that
    is small or narrow keeps features at every depth.
    """
    return [min(2, x.shape[2]), min(2, x.shape[3])]


def load_network(weights: str = "caffe", architecture: str = "vgg19", device: str = "auto") -> Network:
    """The frozen trunk, read and checked once.

    `weights` is `caffe`, `torchvision` or the path of a torchvision-format state dict; `device` is `auto`
    (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises WeightsUnavailable (missing, damaged, wrong digest, not of that architecture), WeightsUnreachable
    (a download failed), BadSettings (unknown architecture or device) or OutOfDeviceMemory.
    """
    trunk_layers(architecture)
    place = resolve_device(device)
    loaded = load_weights(weights, architecture)
    with device_memory(place):
        return Network(
            architecture=architecture,
            weights=weights,
            weights_digest=loaded.digest,
            device=place,
            convolutions=tuple(
                (kernel.to(place, memory_format=torch.channels_last), bias.to(place))
                for kernel, bias in loaded.convolutions
            ),
            mean=torch.tensor(loaded.mean, device=place).view(1, 3, 1, 1),
            deviation=torch.tensor(loaded.deviation, device=place).view(1, 3, 1, 1),
        )


def check_match(network: Network, architecture: str, weights: str) -> None:
    """Raises BadSettings where settings ask for another network than the one that is loaded.

    A path stands for itself: where settings name an address and the network the local copy of it, only the
    digest can tell, and that is in the metadata.
    """
    if architecture != network.architecture:
        raise BadSettings(
            f"the settings ask for network {architecture}, but {network.architecture} is loaded: "
            f"call load_network(architecture={architecture!r})"
        )
    providers = {"caffe", "torchvision"}
    if weights != network.weights and {weights, network.weights} & providers:
        raise BadSettings(
            f"the settings ask for weights {weights!r}, but {network.weights!r} are loaded: "
            f"call load_network({weights!r})"
        )
