"""The scales of a stack of pairs, each from the pictures that the one before it came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from impasto.shared.errors import OutOfDeviceMemory
from impasto.shared.settings import StyleSettings
from impasto.worker.engine.adam import Adam
from impasto.worker.engine.device import device_memory
from impasto.worker.engine.evaluator import Evaluator
from impasto.worker.engine.graphs import graphed
from impasto.worker.engine.images import noise, rescaled, resized, shrunk, to_tensor
from impasto.worker.engine.lbfgs import Lbfgs
from impasto.worker.engine.memory import MemoryPlan, plan_memory
from impasto.worker.engine.network import Network
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.optimise import Evaluate, Observe, Optimiser, Stage, minimise
from impasto.worker.engine.results import StepLosses
from impasto.worker.engine.scales import Scale, planned_steps, style_px
from impasto.worker.engine.targets import TargetCache, compute_targets, stacked
from impasto.worker.engine.terms import Losses
from impasto.worker.engine.tiled import TiledObjective, tiled_targets

Looks = Sequence[tuple[Image.Image, float]]
"""Styles with their shares, which add up to one."""


@dataclass
class Run:
    """What a run of B pairs is made of, which stays, and how far it has come, which `descend` moves on.

    All contents have one size; `mask` is that of a run of one. `picture` is (B, 3, H, W); `losses` and
    `recoveries` are each pair's. `timings` are seconds by phase; `notes` keep the order in which they came.
    """

    contents: Sequence[Image.Image]
    looks: Sequence[Looks]
    mask: Image.Image | None
    settings: StyleSettings
    network: Network
    dtype: torch.dtype
    cache: TargetCache
    memory_budget_bytes: int
    losses: list[list[StepLosses]]
    recoveries: list[int]
    on_step: Callable[[list[StepLosses]], None] | None = None
    picture: Tensor | None = None
    notes: dict[str, None] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=lambda: {"targets": 0.0, "optimise": 0.0})

    def descend(self, scale: Scale, stage: Stage) -> None:
        """Optimises at one scale. All that it takes for that is given up at its end."""
        began = time.perf_counter()
        with device_memory(self.network.device):
            objective, optimiser = self._prepared(scale)
        ready = time.perf_counter()
        self.timings["targets"] += ready - began
        # The objective tries smaller tiles by itself; what the optimiser holds can't be made smaller.
        with device_memory(self.network.device):
            solution = minimise(
                optimiser, objective, steps=scale.steps, observe=self._observer(scale), stage=stage
            )
        stage.snapshot = None
        self.timings["optimise"] += time.perf_counter() - ready
        self.notes |= dict.fromkeys(objective.notes)
        self.recoveries = [
            before + more for before, more in zip(self.recoveries, solution.recoveries, strict=True)
        ]
        self.picture = solution.picture

    def _prepared(self, scale: Scale) -> tuple[Evaluator, Optimiser]:
        settings, device = self.settings, self.network.device
        scenes = [resized(content, scale.size_px) for content in self.contents]
        sides = (scale, self.contents[0].size)
        looks = [
            [(shrunk(look, style_px(settings, *sides, max(look.size))), share) for look, share in styles]
            for styles in self.looks
        ]
        layers = (*settings.content_layers, *settings.style_layers)
        trunk = self.network.trunk(layers, pooling=settings.pooling, dtype=self.dtype)
        size = (scenes[0].height, scenes[0].width)
        plan = plan_memory(
            trunk,
            settings,
            size,
            stack=len(scenes),
            steps=scale.steps,
            budget_bytes=self.memory_budget_bytes,
            device=device,
        )
        objective = Evaluator(partial(self._objective, scenes, looks), trunk, size, plan)
        return objective, _optimiser(self._start(scenes, scale), plan, settings)

    def _objective(
        self, scenes: Sequence[Image.Image], looks: Sequence[Looks], tile_px: int | None
    ) -> Evaluate:
        """The objective of a scale with its targets, whole or in tiles."""
        fixed = (self.settings, self.network, self.dtype)
        if tile_px is None:
            aims = [
                compute_targets(scene, styles, *fixed, self.cache, self.mask)
                for scene, styles in zip(scenes, looks, strict=True)
            ]
            return graphed(Objective(stacked(aims), *fixed), self.settings, self.network.device)
        if len(scenes) > 1:
            raise OutOfDeviceMemory(
                f"a stack of {len(scenes)} pictures does not fit the memory budget: make it smaller"
            )
        aim = tiled_targets(scenes[0], looks[0], *fixed, self.cache, tile_px, self.mask)
        return TiledObjective(scenes[0], aim, *fixed, tile_px=tile_px)

    def _start(self, scenes: Sequence[Image.Image], scale: Scale) -> Tensor:
        """Where a scale starts: from the coarser one's answer, else from the content or from noise."""
        device = self.network.device
        if self.picture is not None:
            return rescaled(self.picture, scale.size_px)
        if self.settings.start == "noise":
            return noise(scale.size_px, self.settings.seed, device).expand(len(scenes), -1, -1, -1)
        return torch.cat([to_tensor(scene, device) for scene in scenes])

    def _observer(self, scale: Scale) -> Observe:
        steps = planned_steps(self.settings, self.contents[0].size)

        def observe(held: list[Losses]) -> None:
            for losses, of in zip(self.losses, held, strict=True):
                losses.append(StepLosses(len(losses) + 1, steps, scale.longer_px, *of))
            if self.on_step is not None:
                self.on_step([losses[-1] for losses in self.losses])

        return observe


def _optimiser(start: Tensor, plan: MemoryPlan, settings: StyleSettings) -> Optimiser:
    if settings.optimizer == "adam":
        return Adam(start, learning_rate=settings.learning_rate)
    return Lbfgs(start, history=plan.history, thrifty=plan.thrifty)
