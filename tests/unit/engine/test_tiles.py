"""Tiled evaluations against whole ones.

Most are compared in float64: in float32 two units of a max pooling now and then differ by less than the
rounding of a convolution over another crop, and the gradient then honestly takes the other one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from impasto.worker.engine import Network, StyleSettings, TargetCache
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.statistics import style_compute, summands
from impasto.worker.engine.targets import Targets, compute_targets
from impasto.worker.engine.terms import Evaluation
from impasto.worker.engine.tiled import TiledObjective, style_sums
from impasto.worker.engine.tiles import halo_px, tiles, total_stride
from unit.engine.reference import painted

F32 = torch.float32
WIDE = {"content_layers": ("conv_2",), "style_layers": ("conv_1", "relu_2")}
DEEP = {"content_layers": ("relu4_2",), "style_layers": ("conv1_1", "relu2_1", "pool3", "conv4_1", "conv5_1")}

SIZES = {
    "odd": (75, 51),
    "strip": (170, 17),
    "lying strip": (16, 161),
    "below the receptive field": (33, 40),
    "a row": (1, 90),
    "a few pixels": (3, 2),
}


def _both(
    network: Network,
    settings: StyleSettings,
    size: tuple[int, int],
    tile_px: int,
    dtype: torch.dtype = torch.float64,
    mask: Image.Image | None = None,
) -> tuple[Evaluation, Evaluation]:
    height, width = size
    scene, look = painted(width, height, seed=1), painted(52, 47, seed=2)
    generator = torch.Generator().manual_seed(3)
    picture = torch.rand(1, 3, height, width, generator=generator, dtype=dtype)
    targets = compute_targets(scene, look, settings, network, dtype, TargetCache(), mask)
    whole = Objective(targets, settings, network, dtype)(picture)
    aims = Targets(content={}, style=targets.style, weights=targets.weights)
    tiled = TiledObjective(scene, aims, settings, network, dtype, tile_px=tile_px)(picture)
    return whole, tiled


def _assert_equal(whole: Evaluation, tiled: Evaluation, tolerance: float = 1e-9) -> None:
    assert tiled.told()[0] == pytest.approx(whole.told()[0], rel=tolerance, abs=1e-12)
    assert (tiled.gradient - whole.gradient).norm() <= tolerance * whole.gradient.norm()
    assert bool(tiled.finite().all()) == bool(whole.finite().all())


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_tiled_evaluation_is_the_whole_one_at_any_size(
    network: Network, size: tuple[int, int], pooling: str
) -> None:
    settings = StyleSettings.preset(
        "gallery", **DEEP, pooling=pooling, tv_weight=0.5, style_normalisation="relative"
    )
    _assert_equal(*_both(network, settings, size, tile_px=48))


@pytest.mark.parametrize("statistic", ["gram", "covariance"])
@pytest.mark.parametrize("normalisation", ["elements", "paper", "relative"])
@pytest.mark.parametrize("content_loss", ["mean", "half_sum", "relative"])
def test_a_tiled_evaluation_is_the_whole_one_for_every_loss(
    network: Network, statistic: str, normalisation: str, content_loss: str
) -> None:
    settings = StyleSettings.preset(
        "tutorial",
        style_statistic=statistic,
        style_normalisation=normalisation,
        content_loss=content_loss,
        style_weight=1e3,
        tv_weight=10.0,
    )
    _assert_equal(*_both(network, settings, (45, 38), tile_px=16))


@pytest.mark.parametrize("preset", ["tutorial", "gatys", "gallery"])
@pytest.mark.parametrize("size", [(83, 71), (131, 40)])
def test_a_tiled_evaluation_in_float32_is_the_whole_one_within_rounding(
    network: Network, preset: str, size: tuple[int, int]
) -> None:
    settings = StyleSettings.preset(preset)
    _assert_equal(*_both(network, settings, size, tile_px=32, dtype=F32), tolerance=1e-5)


@pytest.mark.parametrize("size", [(150, 3), (1, 40), (67, 80)])
def test_a_tiled_evaluation_in_a_frame_is_the_whole_one(network: Network, size: tuple[int, int]) -> None:
    settings = StyleSettings.preset("gallery", padding="reflect", coarsest_px=None)
    _assert_equal(*_both(network, settings, size, tile_px=24))


@pytest.mark.parametrize("statistic", ["gram", "covariance", "wasserstein"])
def test_a_tiled_evaluation_under_a_mask_is_the_whole_one(network: Network, statistic: str) -> None:
    settings = StyleSettings.preset("gallery", style_statistic=statistic, coarsest_px=None)
    mask = painted(67, 80, seed=6).convert("L")
    _assert_equal(*_both(network, settings, (80, 67), tile_px=24, mask=mask))


@pytest.mark.parametrize("left_out", ["content_layers", "style_layers"])
def test_a_tiled_evaluation_without_content_or_style_is_the_whole_one(
    network: Network, left_out: str
) -> None:
    settings = StyleSettings.preset("tutorial", **{left_out: ()})
    _assert_equal(*_both(network, settings, (45, 38), tile_px=16))


@hypothesis_settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=st.integers(1, 60),
    width=st.integers(2, 60),
    tile_px=st.integers(1, 40),
    layers=st.sampled_from([WIDE, {**WIDE, "style_layers": ("pool_2", "relu_4")}]),
    pooling=st.sampled_from(["max", "average"]),
    padding=st.sampled_from(["zeros", "reflect"]),
)
def test_tiles_of_any_size_give_the_whole_evaluation(
    network: Network,
    height: int,
    width: int,
    tile_px: int,
    layers: dict[str, Any],
    pooling: str,
    padding: str,
) -> None:
    settings = StyleSettings.preset("tutorial", **layers, pooling=pooling, padding=padding, tv_weight=1.0)
    _assert_equal(*_both(network, settings, (height, width), tile_px))


@pytest.mark.parametrize("statistic", ["gram", "covariance"])
def test_a_styles_tiled_sums_give_the_whole_styles_statistics(network: Network, statistic: str) -> None:
    settings = StyleSettings.preset("gallery", **DEEP, style_statistic=statistic)
    look = painted(131, 77, seed=5)
    whole, tiled = (style_sums(look, settings, network, F32, tile_px) for tile_px in (1000, 32))
    targets = compute_targets(look, look, settings, network, F32, TargetCache())
    for name in settings.style_layers:
        for one, other in zip(summands(whole[name]), summands(tiled[name]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
        aim, found = targets.style[name], style_compute(tiled[name])
        for one, other in (
            [(aim, found)]
            if statistic == "gram"
            else [(aim.covariance, found.covariance), (aim.mean, found.mean)]
        ):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile_px=st.integers(1, 200),
    pooling=st.sampled_from(["max", "average"]),
)
def test_cores_cover_each_position_once_and_crops_reach_no_further_than_the_halo(
    network: Network, height: int, width: int, tile_px: int, pooling: str
) -> None:
    trunk = network.trunk(("conv1_1", "relu2_2", "conv5_1"), pooling=pooling)
    found = tiles(trunk, (height, width), tile_px)
    halo, stride = halo_px(trunk), total_stride(trunk)
    for name, step in (("conv1_1", 1), ("relu2_2", 2), ("conv5_1", 16)):
        covered = torch.zeros(max(1, height // step), max(1, width // step))
        for tile in found:
            core = tile.cores[name]
            covered[slice(*core.rows), slice(*core.columns)] += 1
            assert tile.places[name].positions == core.positions > 0
            assert tile.crop.rows[0] % stride == tile.crop.columns[0] % stride == 0
        assert bool((covered == 1).all())
    for tile in found:
        core, crop = tile.cores["conv1_1"], tile.crop
        for inner, outer, side in ((core.rows, crop.rows, height), (core.columns, crop.columns, width)):
            assert max(0, inner[0] - halo) <= outer[0] <= inner[0]
            assert inner[1] <= outer[1] <= min(side, inner[1] + halo)
