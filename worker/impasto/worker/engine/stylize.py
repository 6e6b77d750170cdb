"""One pair from two pictures to the finished one: the engine's entry point."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from PIL import Image
from torch import Tensor

from impasto.shared.errors import Diverged, HandedBack
from impasto.shared.settings import ENGINE_VERSION, StyleSettings
from impasto.worker.engine.adam import Adam
from impasto.worker.engine.checkpoint import Checkpoint, run_identity
from impasto.worker.engine.colours import after_transfer, scene_before_transfer, style_before_transfer
from impasto.worker.engine.device import device_memory, reproducible, resolve_precision
from impasto.worker.engine.evaluator import Evaluator
from impasto.worker.engine.images import (
    check_picture,
    noise,
    rescaled,
    resized,
    shrunk,
    to_picture,
    to_tensor,
)
from impasto.worker.engine.layers import layer_position
from impasto.worker.engine.lbfgs import Lbfgs
from impasto.worker.engine.masks import check_mask
from impasto.worker.engine.memory import MemoryPlan, default_budget_bytes, plan_memory
from impasto.worker.engine.network import Network, check_match
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.optimise import Evaluate, Observe, Optimiser, Stage, minimise
from impasto.worker.engine.results import StepLosses, StyleResult
from impasto.worker.engine.scales import Scale, planned_steps, scales, style_px
from impasto.worker.engine.targets import TargetCache, compute_targets, styles_with_shares
from impasto.worker.engine.terms import Losses
from impasto.worker.engine.tiled import TiledObjective, tiled_targets


def stylize(
    content: Image.Image,
    style: Image.Image | Sequence[tuple[Image.Image, float]],
    settings: StyleSettings,
    network: Network,
    *,
    mask: Image.Image | None = None,
    on_step: Callable[[StepLosses], None] | None = None,
    targets: TargetCache | None = None,
    memory_budget_bytes: int | None = None,
    checkpoint: Checkpoint | None = None,
    on_checkpoint: Callable[[Checkpoint], None] | None = None,
) -> StyleResult:
    """The content's scene in the style's look, or in that of several styles with a weight each.

    All pictures are RGB and upright; the result's longer side is `settings.size_px`, or the content's own
    where that is smaller and `enlarge` is off. A style is brought to the same longer side × `style_scale`,
    never enlarged. Same arguments, same bytes, whatever ran before in this process.

    `mask`, of mode L and the content's size, is white where the style applies and black where the photograph
    stays. `on_step` is called after each evaluation of loss and gradient; what it raises ends the run and
    reaches the caller unchanged. `targets` keeps content features and style statistics for later calls.

    `memory_budget_bytes` bounds what the run takes on the device, on the CPU the whole process; None is a
    share of the device's memory. What does not fit is evaluated in tiles, to the same loss and gradient
    within rounding, and with a shorter history; the result's notes say so.

    Where `on_step` raises HandedBack, `on_checkpoint` is handed what another call needs to go on: given the
    same arguments and that `checkpoint`, it does the steps that were left and comes, on the same machine, to
    the same bytes as an uninterrupted run. A checkpoint of other arguments is not used.

    Raises BadSettings (a layer the network lacks, another network than the one loaded), BadPicture (a mask
    that does not fit, too), Diverged (no finite picture came out) or OutOfDeviceMemory.
    """
    check_match(network, settings.network, settings.weights)
    for name in (*settings.content_layers, *settings.style_layers):
        layer_position(name, network.architecture)
    check_picture(content, "content")
    styles = styles_with_shares(style)
    if mask is not None:
        check_mask(mask, content)

    cache = targets if targets is not None else TargetCache()
    dtype = resolve_precision(settings.precision, network.device)
    steps = planned_steps(settings, content.size)
    losses: list[StepLosses] = []
    timings = {"targets": 0.0, "optimise": 0.0}
    recoveries = 0
    notes: dict[str, None] = {}
    picture: Tensor | None = None
    if memory_budget_bytes is None:
        memory_budget_bytes = default_budget_bytes(network.device)
    trunk = network.trunk(
        (*settings.content_layers, *settings.style_layers), pooling=settings.pooling, dtype=dtype
    )

    shares = [share for _, share in styles]
    identity = run_identity(
        (content, *(look for look, _ in styles), *([mask] if mask is not None else [])),
        *(shares, mask is not None, settings.canonical_json(), ENGINE_VERSION),
        *(network.architecture, network.weights_digest, dtype, network.device.type, memory_budget_bytes),
    )
    resumed = checkpoint if checkpoint is not None and checkpoint.identity == identity else None
    if resumed is not None:
        losses = list(resumed.losses)
        recoveries, notes = resumed.recoveries, dict.fromkeys(resumed.notes)
    styles = [(style_before_transfer(look, content, settings.colours), share) for look, share in styles]
    coloured, content = content, scene_before_transfer(content, settings.colours)

    with reproducible():
        for finished, scale in enumerate(scales(settings, content.size)):
            if resumed is not None and finished < resumed.scale:
                continue
            stage = Stage(resumed.state if resumed is not None and finished == resumed.scale else None)
            began = time.perf_counter()
            with device_memory(network.device):
                scene = resized(content, scale.size_px)
                looks = [
                    (shrunk(look, style_px(settings, scale, content.size, max(look.size))), share)
                    for look, share in styles
                ]
                start = _start(picture, scene, scale, settings, network.device)
                size = (scene.height, scene.width)
                plan = plan_memory(
                    trunk,
                    settings,
                    size,
                    steps=scale.steps,
                    budget_bytes=memory_budget_bytes,
                    device=network.device,
                )
                build = partial(_objective, scene, looks, settings, network, dtype, cache, mask)
                objective = Evaluator(build, trunk, size, plan)
            timings["targets"] += time.perf_counter() - began

            began = time.perf_counter()
            observe = _observer(losses, steps, scale, on_step)
            try:
                optimiser = _optimiser(start, plan, settings)
                del start
                solution = minimise(optimiser, objective, steps=scale.steps, observe=observe, stage=stage)
            except HandedBack:
                if on_checkpoint is not None and stage.snapshot is not None:
                    on_checkpoint(
                        Checkpoint(identity, finished, losses, recoveries, tuple(notes), stage.snapshot())
                    )
                raise
            notes |= dict.fromkeys(objective.notes)
            timings["optimise"] += time.perf_counter() - began
            recoveries += solution.recoveries[0]
            picture = solution.picture

    if picture is None or not bool(picture.isfinite().all()):
        raise Diverged("the optimisation produced no finite picture: lower the weights or the learning rate")
    return StyleResult(
        image=after_transfer(to_picture(picture), coloured, settings.colours),
        losses=losses,
        steps=len(losses),
        timings=timings,
        precision=str(dtype).removeprefix("torch."),
        device=str(network.device),
        recoveries=recoveries,
        notes=tuple(notes),
    )


def _objective(
    scene: Image.Image,
    looks: Sequence[tuple[Image.Image, float]],
    settings: StyleSettings,
    network: Network,
    dtype: torch.dtype,
    cache: TargetCache,
    mask: Image.Image | None,
    tile_px: int | None,
) -> Evaluate:
    """The objective of a scale with its targets, whole or in tiles."""
    if tile_px is None:
        aims = compute_targets(scene, looks, settings, network, dtype, cache, mask)
        return Objective(aims, settings, network, dtype)
    aims = tiled_targets(scene, looks, settings, network, dtype, cache, tile_px, mask)
    return TiledObjective(scene, aims, settings, network, dtype, tile_px=tile_px)


def _start(
    picture: Tensor | None, scene: Image.Image, scale: Scale, settings: StyleSettings, device: torch.device
) -> Tensor:
    """Where a scale starts: from the coarser one's answer, else from the content or from noise."""
    if picture is not None:
        return rescaled(picture, scale.size_px)
    if settings.start == "noise":
        return noise(scale.size_px, settings.seed, device)
    return to_tensor(scene, device)


def _optimiser(start: Tensor, plan: MemoryPlan, settings: StyleSettings) -> Optimiser:
    if settings.optimizer == "adam":
        return Adam(start, learning_rate=settings.learning_rate)
    return Lbfgs(start, history=plan.history, thrifty=plan.thrifty)


def _observer(
    losses: list[StepLosses], steps: int, scale: Scale, on_step: Callable[[StepLosses], None] | None
) -> Observe:
    def observe(held: list[Losses]) -> None:
        (of,) = held
        step = StepLosses(
            step=len(losses) + 1,
            steps=steps,
            scale_px=scale.longer_px,
            content=of.content,
            style=of.style,
            tv=of.tv,
            total=of.total,
        )
        losses.append(step)
        if on_step is not None:
            on_step(step)

    return observe
