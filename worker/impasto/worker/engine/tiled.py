"""Targets, loss and gradient of pictures too large for one evaluation, tile by tile and exactly.

Style losses are functions of sums over all positions. A first pass takes the sums; the loss then gives its
own derivative with respect to them; a second pass takes each tile's sums again, weighs them with that
derivative and goes back to the pixels. Content losses are sums of squares over positions, each tile's known
from itself. By the chain rule the tiles' gradients add up to the whole picture's. (Two passes over blocks are
how Galerne et al. 2024, "Scaling Painting Style Transfer", arXiv 2212.13459, take Gram matrices and moments.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.device import device_memory
from impasto.worker.engine.images import frame_margin, picture_digest
from impasto.worker.engine.losses import content_factor
from impasto.worker.engine.masks import position_weights
from impasto.worker.engine.network import Network, Trunk
from impasto.worker.engine.passes import Pass
from impasto.worker.engine.slopes import StyleSlopes, add_content_slope, add_style_slopes, style_slopes
from impasto.worker.engine.statistics import (
    Statistic,
    StyleSums,
    combined,
    style_compute,
    style_update,
)
from impasto.worker.engine.targets import TargetCache, Targets, mixed, style_target
from impasto.worker.engine.terms import Evaluation, Terms
from impasto.worker.engine.tiles import Area, Frame, Tile, tiles

# Pixels of the bands in which total variation is taken: its intermediate values are as large as they are.
_BAND_PIXELS: Final = 2**20


class Pixels:
    """An 8-bit picture in its frame, of which crops are made floats only when they are looked at."""

    def __init__(self, picture: Image.Image, padding: str, device: torch.device) -> None:
        levels = torch.from_numpy(np.array(picture, dtype=np.uint8)).to(device)  # (H, W, 3)
        self._levels = levels.permute(2, 0, 1).unsqueeze(0)
        size = (picture.height, picture.width)
        self.frame = Frame(size, frame_margin(size, padding))

    def crop(self, area: Area) -> Tensor:
        """An area of the framed picture, (1, 3, h, w), float32, in [0, 1]."""
        levels = self.frame.inner(area).of(self._levels)
        return self.frame.shown(levels, area).float().div_(255)


def style_sums(
    picture: Image.Image, settings: StyleSettings, network: Network, dtype: torch.dtype, tile_px: int
) -> dict[str, StyleSums]:
    """Each style layer's sums over all positions of the picture, in float64."""
    if not settings.style_layers:
        return {}
    trunk = network.trunk(settings.style_layers, pooling=settings.pooling, dtype=dtype)
    pixels = Pixels(picture, settings.padding, network.device)
    sums: dict[str, StyleSums] = {}
    with torch.no_grad():
        for tile in tiles(trunk, pixels.frame.framed_size, tile_px):
            _add_style_sums(sums, tile, trunk(pixels.crop(tile.crop)), settings, {})
    return sums


def tiled_targets(
    scene: Image.Image,
    looks: Sequence[tuple[Image.Image, float]],
    settings: StyleSettings,
    network: Network,
    dtype: torch.dtype,
    cache: TargetCache,
    tile_px: int,
    mask: Image.Image | None = None,
) -> Targets:
    """As `compute_targets`, but for the content's features, which are left to `TiledObjective`."""

    def statistics(picture: Image.Image) -> dict[str, Statistic]:
        def compute() -> dict[str, Statistic]:
            sums = style_sums(picture, settings, network, dtype, tile_px)
            return {
                name: style_target(style_compute(layer), settings.style_statistic)
                for name, layer in sums.items()
            }

        # The tile is part of the key: sums in another order round in another way.
        key = (
            *("tiled style", tile_px, picture_digest(picture), settings.style_layers),
            *(settings.style_statistic, settings.pooling, settings.padding, dtype),
            *(network.weights_digest, network.architecture, str(network.device)),
        )
        return cache.get(key, compute)

    weights: Mapping[str, Tensor] = {}
    if mask is not None:
        trunk = network.trunk(settings.style_layers, pooling=settings.pooling)
        weights = position_weights(mask, scene.size, trunk, settings.padding, network.device)
    style = mixed([(statistics(picture), share) for picture, share in looks])
    return Targets(content={}, style=style, weights=weights)


class TiledObjective:
    """Loss and gradient of one picture (1, 3, H, W), as `Objective` gives them, in the memory of a tile.

    The content's features are computed again for each tile whenever they are needed, from `scene`, which has
    the picture's size.
    """

    def __init__(
        self,
        scene: Image.Image,
        targets: Targets,
        settings: StyleSettings,
        network: Network,
        dtype: torch.dtype,
        *,
        tile_px: int,
    ) -> None:
        def trunk(names: tuple[str, ...]) -> Trunk:
            return network.trunk(names, pooling=settings.pooling, dtype=dtype)

        self._targets = targets
        self._settings = settings
        self._device = network.device
        self._tile_px = tile_px
        self._style_trunk = trunk(settings.style_layers)
        self._content_trunk = trunk(settings.content_layers)
        self._trunk = trunk((*settings.content_layers, *settings.style_layers))
        self._scene = Pixels(scene, settings.padding, network.device)
        self._frame = self._scene.frame
        self._tiles = tiles(self._trunk, self._frame.framed_size, tile_px)
        with device_memory(network.device):
            self._content_factors = self._measure_content()

    def __call__(self, picture: Tensor) -> Evaluation:
        with device_memory(self._device):
            style, slopes = self._style(picture)
            gradient = torch.zeros_like(picture)
            content = picture.new_zeros(picture.shape[0], dtype=torch.float64)
            for tile in self._tiles if self._trunk.layers else ():
                content += self._go_back(picture, tile, slopes, gradient)
            tv = self._settings.tv_weight * self._total_variation(picture, gradient)
            return Evaluation(Terms(content, style, tv), gradient)

    def _measure_content(self) -> dict[str, Tensor]:
        """By layer, what Σ (F − P)² is multiplied by, the content's weight included."""
        form = self._settings.content_loss
        elements = dict.fromkeys(self._settings.content_layers, 0)
        squares = {
            name: torch.zeros(1, dtype=torch.float64, device=self._device)
            for name in self._settings.content_layers
        }
        for tile in self._tiles if elements else ():
            features = self._content_features(tile) if form == "relative" else {}
            for name in elements:
                width = self._trunk_width(name)
                elements[name] += tile.cores[name].positions * width
                if form == "relative":
                    squares[name] += features[name].double().square().flatten(1).sum(1)
        return {
            name: self._settings.content_weight * content_factor(form, elements[name], squares[name])
            for name in elements
        }

    def _trunk_width(self, name: str) -> int:
        position = next(place for place, names in self._content_trunk.wanted.items() if name in names)
        return self._content_trunk.layers[position].outputs

    @torch.no_grad()
    def _content_features(self, tile: Tile) -> dict[str, Tensor]:
        features = self._content_trunk(self._scene.crop(tile.crop))
        return {name: tile.places[name].of(features[name]) for name in self._settings.content_layers}

    def _style(self, picture: Tensor) -> tuple[Tensor, StyleSlopes]:
        """The weighted style loss, (B,), and its slopes."""
        sums: dict[str, StyleSums] = {}
        if not self._settings.style_layers:
            return picture.new_zeros(picture.shape[0], dtype=torch.float64), {}
        with torch.no_grad():
            for tile in tiles(self._style_trunk, self._frame.framed_size, self._tile_px):
                crop = self._frame.shown(self._frame.inner(tile.crop).of(picture), tile.crop)
                _add_style_sums(sums, tile, self._style_trunk(crop), self._settings, self._targets.weights)
        return style_slopes(sums, self._targets, self._settings)

    def _go_back(self, picture: Tensor, tile: Tile, slopes: StyleSlopes, gradient: Tensor) -> Tensor:
        """Adds the tile's part of the gradient; its weighted content loss, (B,)."""
        aims = self._content_features(tile) if self._content_factors else {}
        inner = self._frame.inner(tile.crop)
        with torch.enable_grad():
            pixels = inner.of(picture).detach().requires_grad_()
            seen = self._frame.shown(pixels, tile.crop)
        run = Pass(self._trunk, seen.detach())
        content = picture.new_zeros(picture.shape[0], dtype=torch.float64)

        def add(name: str, whole: Tensor) -> None:
            nonlocal content
            place = tile.places[name]
            own, features = place.of(whole), place.of(run.features[name])
            if name in slopes:
                weights = self._targets.weights.get(name)
                counts = None if weights is None else tile.cores[name].of(weights)
                add_style_slopes(own, features, slopes[name], counts)
            if name in self._content_factors:
                content = content + add_content_slope(own, features, aims[name], self._content_factors[name])

        slope = run.back(add)
        inner.of(gradient).add_(torch.autograd.grad(seen, pixels, slope.to(seen.dtype))[0])
        return content

    def _total_variation(self, picture: Tensor, gradient: Tensor) -> Tensor:
        """`total_variation` in bands of rows, its weighted gradient added; without its weight, (B,)."""
        batch, channels, height, width = picture.shape
        total = picture.new_zeros(batch, dtype=torch.float64)
        if not self._settings.tv_weight:
            return total
        rows = max(1, _BAND_PIXELS // width)
        for top in range(0, height, rows):
            below = min(height, top + rows)
            area = Area((top, min(height, below + 1)), (0, width))
            with torch.enable_grad():
                band = area.of(picture).detach().requires_grad_()
                across = band[:, :, : below - top].diff(dim=3).square().flatten(1).sum(1)
                down = band.diff(dim=2).square().flatten(1).sum(1)
                value = across / max(1, channels * height * (width - 1)) + down / max(
                    1, channels * (height - 1) * width
                )
                (slope,) = torch.autograd.grad(self._settings.tv_weight * value.sum(), band)
            area.of(gradient).add_(slope)
            total += value.detach()
        return total


def _add_style_sums(
    sums: dict[str, StyleSums],
    tile: Tile,
    features: dict[str, Tensor],
    settings: StyleSettings,
    weights: Mapping[str, Tensor],
) -> None:
    for name in settings.style_layers:
        sums[name] = combined(sums.get(name), _tile_sums(name, tile, features, settings, weights))


def _tile_sums(
    name: str,
    tile: Tile,
    features: dict[str, Tensor],
    settings: StyleSettings,
    weights: Mapping[str, Tensor],
) -> StyleSums:
    """The style sums of a tile's own positions; `weights` are the whole picture's."""
    own = tile.places[name].of(features[name])
    counts = tile.cores[name].of(weights[name]) if name in weights else None
    return style_update(None, own, settings.style_statistic, counts)
