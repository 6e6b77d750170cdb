"""The scales of one pair, each from the picture that the one before it came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.adam import Adam
from impasto.worker.engine.device import device_memory
from impasto.worker.engine.evaluator import Evaluator
from impasto.worker.engine.images import noise, rescaled, resized, shrunk, to_tensor
from impasto.worker.engine.lbfgs import Lbfgs
from impasto.worker.engine.memory import MemoryPlan, plan_memory
from impasto.worker.engine.network import Network
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.optimise import Evaluate, Observe, Optimiser, Stage, minimise
from impasto.worker.engine.results import StepLosses
from impasto.worker.engine.scales import Scale, planned_steps, style_px
from impasto.worker.engine.targets import TargetCache, compute_targets
from impasto.worker.engine.terms import Losses
from impasto.worker.engine.tiled import TiledObjective, tiled_targets

Looks = Sequence[tuple[Image.Image, float]]
"""Styles with their shares, which add up to one."""


@dataclass
class Run:
    """What a run is made of, which stays, and how far it has come, which `descend` moves on.

    `timings` are seconds by phase; `notes` keep the order in which they came.
    """

    content: Image.Image
    looks: Looks
    mask: Image.Image | None
    settings: StyleSettings
    network: Network
    dtype: torch.dtype
    cache: TargetCache
    memory_budget_bytes: int
    on_step: Callable[[StepLosses], None] | None
    picture: Tensor | None = None
    losses: list[StepLosses] = field(default_factory=list)
    recoveries: int = 0
    notes: dict[str, None] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=lambda: {"targets": 0.0, "optimise": 0.0})

    def descend(self, scale: Scale, stage: Stage) -> None:
        """Optimises at one scale. All that it takes for that is given up at its end."""
        began = time.perf_counter()
        with device_memory(self.network.device):
            objective, optimiser = self._prepared(scale)
        ready = time.perf_counter()
        self.timings["targets"] += ready - began
        solution = minimise(
            optimiser, objective, steps=scale.steps, observe=self._observer(scale), stage=stage
        )
        stage.snapshot = None
        self.timings["optimise"] += time.perf_counter() - ready
        self.notes |= dict.fromkeys(objective.notes)
        self.recoveries += solution.recoveries[0]
        self.picture = solution.picture

    def _prepared(self, scale: Scale) -> tuple[Evaluator, Optimiser]:
        settings, device = self.settings, self.network.device
        scene = resized(self.content, scale.size_px)
        sides = (scale, self.content.size)
        looks = [
            (shrunk(look, style_px(settings, *sides, max(look.size))), share) for look, share in self.looks
        ]
        layers = (*settings.content_layers, *settings.style_layers)
        trunk = self.network.trunk(layers, pooling=settings.pooling, dtype=self.dtype)
        size = (scene.height, scene.width)
        plan = plan_memory(
            trunk,
            settings,
            size,
            steps=scale.steps,
            budget_bytes=self.memory_budget_bytes,
            device=device,
        )
        objective = Evaluator(partial(self._objective, scene, looks), trunk, size, plan)
        return objective, _optimiser(self._start(scene, scale), plan, settings)

    def _objective(self, scene: Image.Image, looks: Looks, tile_px: int | None) -> Evaluate:
        """The objective of a scale with its targets, whole or in tiles."""
        fixed = (self.settings, self.network, self.dtype)
        if tile_px is None:
            return Objective(compute_targets(scene, looks, *fixed, self.cache, self.mask), *fixed)
        aims = tiled_targets(scene, looks, *fixed, self.cache, tile_px, self.mask)
        return TiledObjective(scene, aims, *fixed, tile_px=tile_px)

    def _start(self, scene: Image.Image, scale: Scale) -> Tensor:
        """Where a scale starts: from the coarser one's answer, else from the content or from noise."""
        if self.picture is not None:
            return rescaled(self.picture, scale.size_px)
        if self.settings.start == "noise":
            return noise(scale.size_px, self.settings.seed, self.network.device)
        return to_tensor(scene, self.network.device)

    def _observer(self, scale: Scale) -> Observe:
        steps = planned_steps(self.settings, self.content.size)

        def observe(held: list[Losses]) -> None:
            (of,) = held
            step = StepLosses(len(self.losses) + 1, steps, scale.longer_px, *of)
            self.losses.append(step)
            if self.on_step is not None:
                self.on_step(step)

        return observe


def _optimiser(start: Tensor, plan: MemoryPlan, settings: StyleSettings) -> Optimiser:
    if settings.optimizer == "adam":
        return Adam(start, learning_rate=settings.learning_rate)
    return Lbfgs(start, history=plan.history, thrifty=plan.thrifty)
