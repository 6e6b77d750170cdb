"""One pair from two pictures to the finished one: the engine's entry point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from impasto.shared.errors import Diverged, HandedBack
from impasto.shared.settings import ENGINE_VERSION, StyleSettings
from impasto.worker.engine.checkpoint import Checkpoint, run_identity
from impasto.worker.engine.colours import after_transfer, scene_before_transfer, style_before_transfer
from impasto.worker.engine.device import reproducible, resolve_precision
from impasto.worker.engine.images import check_picture, to_picture
from impasto.worker.engine.layers import layer_position
from impasto.worker.engine.masks import check_mask
from impasto.worker.engine.memory import default_budget_bytes
from impasto.worker.engine.network import Network, check_match
from impasto.worker.engine.optimise import Stage
from impasto.worker.engine.results import StepLosses, StyleResult
from impasto.worker.engine.run import Run
from impasto.worker.engine.scales import scales
from impasto.worker.engine.targets import TargetCache, styles_with_shares


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

    dtype = resolve_precision(settings.precision, network.device)
    if memory_budget_bytes is None:
        memory_budget_bytes = default_budget_bytes(network.device)
    shares = [share for _, share in styles]
    identity = run_identity(
        (content, *(look for look, _ in styles), *([mask] if mask is not None else [])),
        *(shares, mask is not None, settings.canonical_json(), ENGINE_VERSION),
        *(network.architecture, network.weights_digest, dtype, network.device.type, memory_budget_bytes),
    )
    run = Run(
        content=scene_before_transfer(content, settings.colours),
        looks=[(style_before_transfer(look, content, settings.colours), share) for look, share in styles],
        mask=mask,
        settings=settings,
        network=network,
        dtype=dtype,
        cache=targets if targets is not None else TargetCache(),
        memory_budget_bytes=memory_budget_bytes,
        on_step=on_step,
    )
    resumed = checkpoint if checkpoint is not None and checkpoint.identity == identity else None
    if resumed is not None:
        run.losses = list(resumed.losses)
        run.recoveries, run.notes = resumed.recoveries, dict.fromkeys(resumed.notes)

    with reproducible():
        for finished, scale in enumerate(scales(settings, content.size)):
            if resumed is not None and finished < resumed.scale:
                continue
            stage = Stage(resumed.state if resumed is not None and finished == resumed.scale else None)
            try:
                run.descend(scale, stage)
            except HandedBack:
                if on_checkpoint is not None and stage.snapshot is not None:
                    state = stage.snapshot()
                    notes = tuple(run.notes)
                    on_checkpoint(Checkpoint(identity, finished, run.losses, run.recoveries, notes, state))
                raise

    if run.picture is None or not bool(run.picture.isfinite().all()):
        raise Diverged("the optimisation produced no finite picture: lower the weights or the learning rate")
    return StyleResult(
        image=after_transfer(to_picture(run.picture), content, settings.colours),
        losses=run.losses,
        steps=len(run.losses),
        timings=run.timings,
        precision=str(dtype).removeprefix("torch."),
        device=str(network.device),
        recoveries=run.recoveries,
        notes=tuple(run.notes),
    )
