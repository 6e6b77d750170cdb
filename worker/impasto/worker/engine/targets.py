"""What the optimisation aims at: content features and style statistics, and a cache of them between runs."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import TypeVar, cast

import torch
from PIL import Image
from torch import Tensor

from impasto.shared.errors import BadSettings
from impasto.shared.settings import StyleSettings
from impasto.worker.engine.images import check_picture, framed, picture_digest, to_tensor
from impasto.worker.engine.masks import position_weights
from impasto.worker.engine.network import Network
from impasto.worker.engine.statistics import Moments, Statistic, style_compute, style_update
from impasto.worker.engine.wasserstein import Gaussian, gaussian

T = TypeVar("T", dict[str, Tensor], dict[str, Statistic])


class TargetCache:
    """Targets of recent pictures, least recently used out first, in at most `max_entries` and `max_bytes`.

    Entries are never changed, so sharing them between runs changes no result. A picture's entry that is
    larger than `max_bytes` is computed and not kept.
    """

    def __init__(self, max_entries: int = 64, max_bytes: int = 512 * 2**20) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        return self._bytes

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The entry of that key, computed if it is not held."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                self.hits += 1
                return cast(T, self._entries[key][0])
            self.misses += 1
        entry = compute()
        size = sum(_size_bytes(value) for value in entry.values())
        with self._lock:
            if size <= self._max_bytes and key not in self._entries:
                self._entries[key] = (entry, size)
                self._bytes += size
            while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._bytes -= dropped
        return entry


def _size_bytes(value: Statistic) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    return sum(getattr(value, part.name).nbytes for part in fields(value))


@dataclass(frozen=True)
class Targets:
    """By layer name: the content's features (1, C, H, W), the style's statistic, and, under a mask, how much
    each position counts in the picture's own, (1, 1, H, W).
    """

    content: dict[str, Tensor]
    style: dict[str, Statistic]
    weights: Mapping[str, Tensor] = field(default_factory=dict)


def stacked(targets: Sequence[Targets]) -> Targets:
    """The targets of B pictures of one size, without masks, as those of their stack; of one, its own."""
    first, *others = targets
    if not others:
        return first
    return Targets(
        content={name: torch.cat([each.content[name] for each in targets]) for name in first.content},
        style={name: _stacked([each.style[name] for each in targets]) for name in first.style},
    )


def _stacked(statistics: Sequence[Statistic]) -> Statistic:
    first = statistics[0]
    if isinstance(first, Tensor):
        return torch.cat([value for value in statistics if isinstance(value, Tensor)])
    parts = {part.name: [getattr(value, part.name) for value in statistics] for part in fields(first)}
    return replace(first, **{name: torch.cat(values) for name, values in parts.items()})


def style_statistic(features: Tensor, statistic: str) -> Statistic:
    """The target that a style's features (B, C, H, W) make."""
    return style_target(style_compute(style_update(None, features, statistic)), statistic)


def style_target(value: Statistic, statistic: str) -> Statistic:
    """A style's statistic with what its loss needs of it again and again."""
    return gaussian(value) if statistic == "wasserstein" and isinstance(value, Moments) else value


def compute_targets(
    content: Image.Image,
    style: Image.Image | Sequence[tuple[Image.Image, float]],
    settings: StyleSettings,
    network: Network,
    dtype: torch.dtype,
    cache: TargetCache,
    mask: Image.Image | None = None,
) -> Targets:
    """The targets of pictures that already have the size of the scale at hand, but for the mask.

    Several styles come with their shares, which add up to one.
    """
    common = (
        *(network.weights_digest, network.architecture, str(network.device)),
        *(settings.pooling, settings.padding, dtype),
    )

    def content_features() -> dict[str, Tensor]:
        return _features(content, settings.content_layers, settings, network, dtype)

    def style_statistics(picture: Image.Image) -> dict[str, Statistic]:
        def compute() -> dict[str, Statistic]:
            features = _features(picture, settings.style_layers, settings, network, dtype)
            return {
                name: style_statistic(value, settings.style_statistic) for name, value in features.items()
            }

        key = ("style", picture_digest(picture), settings.style_layers, settings.style_statistic, *common)
        return cache.get(key, compute)

    styles = [(style, 1.0)] if isinstance(style, Image.Image) else style
    weights: Mapping[str, Tensor] = {}
    if mask is not None:
        trunk = network.trunk(settings.style_layers, pooling=settings.pooling)
        weights = position_weights(mask, content.size, trunk, settings.padding, network.device)
    return Targets(
        content=cache.get(
            ("content", picture_digest(content), settings.content_layers, *common), content_features
        ),
        style=mixed([(style_statistics(picture), share) for picture, share in styles]),
        weights=weights,
    )


def styles_with_shares(
    style: Image.Image | Sequence[tuple[Image.Image, float]],
) -> list[tuple[Image.Image, float]]:
    """Each style with its share of the whole. Raises BadPicture for a picture that can be no style,
    BadSettings for no styles at all or a weight that is not a positive number.
    """
    styles = [(style, 1.0)] if isinstance(style, Image.Image) else list(style)
    if not styles:
        raise BadSettings("there is no style: give a picture, or several with a weight each")
    for index, (picture, weight) in enumerate(styles, start=1):
        role = "style" if len(styles) == 1 else f"style {index} of {len(styles)}"
        check_picture(picture, role)
        if not (math.isfinite(weight) and weight > 0):
            raise BadSettings(f"the weight of {role} is {weight}: give a number above 0, or leave it out")
    whole = sum(weight for _, weight in styles)
    return [(picture, weight / whole) for picture, weight in styles]


def mixed(styles: Sequence[tuple[dict[str, Statistic], float]]) -> dict[str, Statistic]:
    """The mean of several styles' statistics, weighted by their shares.

    Aiming at the mean has the same gradient as aiming at each style with its share (but for the divisor of
    the `relative` form): weighted squared distances to several points, and the squared distance to their
    weighted mean, differ by a constant. Not so for `wasserstein`, whose distances are not straight: there it
    is one Gaussian between theirs, of the mean of their means and the mean of their covariances.
    """
    (first, _), *others = styles
    if not others:
        return first
    return {name: _mean([(style[name], share) for style, share in styles]) for name in first}


def _mean(values: Sequence[tuple[Statistic, float]]) -> Statistic:
    moments = [(value, share) for value, share in values if isinstance(value, Moments)]
    if moments:
        between = Moments(
            _weighted_sum([(value.mean, share) for value, share in moments]),
            _weighted_sum([(value.covariance, share) for value, share in moments]),
        )
        return gaussian(between) if isinstance(moments[0][0], Gaussian) else between
    return _weighted_sum([(value, share) for value, share in values if isinstance(value, Tensor)])


def _weighted_sum(values: Sequence[tuple[Tensor, float]]) -> Tensor:
    return torch.stack([value * share for value, share in values]).sum(0)


def _features(
    picture: Image.Image,
    layers: tuple[str, ...],
    settings: StyleSettings,
    network: Network,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    if not layers:
        return {}
    with torch.no_grad():
        trunk = network.trunk(layers, pooling=settings.pooling, dtype=dtype)
        return trunk(framed(to_tensor(picture, network.device), settings.padding))
