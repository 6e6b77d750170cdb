"""Runs within a memory budget."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impasto.shared.errors import OutOfDeviceMemory
from impasto.worker.engine import Network, StyleSettings, stylize
from impasto.worker.engine.device import device_memory
from impasto.worker.engine.evaluator import Evaluator
from impasto.worker.engine.lbfgs import Lbfgs
from impasto.worker.engine.memory import (
    LEAST_HISTORY,
    MemoryPlan,
    default_budget_bytes,
    evaluation_bytes,
    plan_memory,
)
from impasto.worker.engine.network import Trunk
from impasto.worker.engine.terms import Evaluation, Terms
from unit.engine.reference import painted

CPU = torch.device("cpu")
GALLERY = StyleSettings.preset("gallery")


@pytest.fixture(scope="module")
def trunk(network: Network) -> Trunk:
    return network.trunk((*GALLERY.content_layers, *GALLERY.style_layers), pooling="average")


def _plan(trunk: Trunk, size: tuple[int, int], budget_bytes: int) -> MemoryPlan:
    return plan_memory(trunk, GALLERY, size, steps=100, budget_bytes=budget_bytes, device=CPU)


def test_a_small_picture_is_evaluated_whole_with_its_whole_history(trunk: Trunk) -> None:
    assert _plan(trunk, (512, 512), 8 * 10**9) == MemoryPlan(None, GALLERY.history)


def test_a_large_picture_gives_up_whole_evaluations_and_history_and_says_so(trunk: Trunk) -> None:
    plan = _plan(trunk, (4000, 6000), 12 * 10**9)
    assert plan.tile_px is not None
    assert LEAST_HISTORY <= plan.history < GALLERY.history
    assert plan.thrifty
    for word in ("tiles", "instead of 50", "bfloat16"):
        assert any(word in note for note in plan.notes)


def test_a_budget_that_is_too_small_for_anything_is_told(trunk: Trunk) -> None:
    plan = _plan(trunk, (4000, 6000), 10**9)
    assert plan.history == LEAST_HISTORY
    assert "too small" in plan.notes[-1]


@given(side=st.integers(16, 9000), more=st.integers(1, 10**11), budget=st.integers(10**8, 10**11))
def test_a_larger_budget_never_shortens_the_history_or_cuts_a_whole_picture(
    trunk: Trunk, side: int, more: int, budget: int
) -> None:
    small, large = (_plan(trunk, (side, side), room) for room in (budget, budget + more))
    if small.tile_px is None:
        assert large.tile_px is None
        assert large.history >= small.history
    assert LEAST_HISTORY <= small.history <= GALLERY.history


def test_an_evaluation_takes_bytes_in_proportion_to_its_pixels(trunk: Trunk) -> None:
    assert evaluation_bytes(trunk, 10**6) == pytest.approx(10 * evaluation_bytes(trunk, 10**5), rel=1e-3)
    assert evaluation_bytes(trunk, 1) > 64 * 4 * 2


def test_the_default_budget_is_a_share_of_the_machine_and_stays_the_same() -> None:
    assert 10**8 < default_budget_bytes(CPU) == default_budget_bytes(CPU)


def test_a_run_in_tiles_comes_to_the_picture_of_the_whole_run(network: Network) -> None:
    content, style = painted(550, 70, seed=1), painted(150, 90, seed=2)
    settings = StyleSettings.preset("gallery", size_px=550, coarsest_px=None, steps=2, precision="float32")
    whole = stylize(content, style, settings, network)
    tiled = stylize(content, style, settings, network, memory_budget_bytes=1)
    assert whole.notes == ()
    assert any("tiles of 256 px" in note for note in tiled.notes)
    for one, other in zip(whole.losses, tiled.losses, strict=True):
        assert other.total == pytest.approx(one.total, rel=1e-3)
    assert tiled.image.size == whole.image.size


def test_a_device_that_runs_out_of_memory_is_given_smaller_tiles_once(trunk: Trunk) -> None:
    tried: list[int | None] = []

    def build(tile_px: int | None) -> Callable[[torch.Tensor], Evaluation]:
        def evaluate(picture: torch.Tensor) -> Evaluation:
            tried.append(tile_px)
            if tile_px is None or tile_px > limit_px:
                raise OutOfDeviceMemory("full")
            nothing = torch.zeros(1)
            return Evaluation(Terms(nothing, nothing, nothing), picture)

        return evaluate

    limit_px = 600
    evaluator = Evaluator(build, trunk, (1000, 700), MemoryPlan(None, 5))
    evaluator(torch.zeros(1))
    evaluator(torch.zeros(1))
    assert tried == [None, 496, 496]
    assert any("496 px" in note for note in evaluator.notes)

    limit_px = 100
    with pytest.raises(OutOfDeviceMemory):
        Evaluator(build, trunk, (1000, 700), MemoryPlan(None, 5))(torch.zeros(1))


def test_what_filled_the_memory_is_given_up_before_smaller_tiles_are_built(trunk: Trunk) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def build(tile_px: int | None) -> Callable[[torch.Tensor], Evaluation]:
        alive.extend(reference() is not None for reference in held)
        aim = torch.zeros(1)
        held.append(weakref.ref(aim))

        def evaluate(picture: torch.Tensor) -> Evaluation:
            features = aim + picture
            held.append(weakref.ref(features))
            if tile_px is None:
                with device_memory(torch.device("cpu")):
                    raise torch.OutOfMemoryError("full")
            return Evaluation(Terms(aim, aim, aim), features)

        return evaluate

    Evaluator(build, trunk, (1000, 700), MemoryPlan(None, 5))(torch.zeros(1))
    assert alive == [False, False]


def test_memory_that_an_evaluations_copies_lack_is_the_devices_and_has_smaller_tiles_tried(
    trunk: Trunk,
) -> None:
    def build(tile_px: int | None) -> Callable[[torch.Tensor], Evaluation]:
        def evaluate(picture: torch.Tensor) -> Evaluation:
            if tile_px is None:
                raise torch.OutOfMemoryError("full")
            nothing = torch.zeros(1)
            return Evaluation(Terms(nothing, nothing, nothing), picture)

        return evaluate

    evaluator = Evaluator(build, trunk, (1000, 700), MemoryPlan(None, 5))
    evaluator(torch.zeros(1))
    assert any("496 px" in note for note in evaluator.notes)


def test_memory_that_the_optimiser_lacks_is_the_devices(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Lbfgs, "take", full)
    settings = StyleSettings.preset("tutorial", size_px=32, steps=3)
    with pytest.raises(OutOfDeviceMemory, match="size_px"):
        stylize(painted(40, 32, seed=1), painted(32, 32, seed=2), settings, network)
