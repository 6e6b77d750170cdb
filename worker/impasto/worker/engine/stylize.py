"""One pair from two pictures to the finished one: the engine's entry point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from impasto.shared.errors import BadSettings, Diverged, HandedBack
from impasto.shared.settings import ENGINE_VERSION, StyleSettings
from impasto.worker.engine.checkpoint import Checkpoint, run_identity
from impasto.worker.engine.colours import after_transfer, scene_before_transfer, style_before_transfer
from impasto.worker.engine.device import precision_used, reproducible, resolve_precision
from impasto.worker.engine.images import check_picture, to_picture
from impasto.worker.engine.layers import layer_position
from impasto.worker.engine.masks import check_mask
from impasto.worker.engine.memory import default_budget_bytes
from impasto.worker.engine.network import Network, check_match
from impasto.worker.engine.optimise import Stage
from impasto.worker.engine.results import StepLosses, StyleResult
from impasto.worker.engine.run import Looks, Run
from impasto.worker.engine.scales import scales
from impasto.worker.engine.targets import TargetCache, styles_with_shares

Style = Image.Image | Sequence[tuple[Image.Image, float]]
"""One picture, or several with a weight each."""


def stylize(
    content: Image.Image,
    style: Style,
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
    check_picture(content, "content")
    styles = styles_with_shares(style)
    if mask is not None:
        check_mask(mask, content)
    run = _begun([content], [styles], settings, network, targets, memory_budget_bytes, mask=mask)
    if on_step is not None:
        run.on_step = lambda steps: on_step(steps[0])

    shares = [share for _, share in styles]
    identity = run_identity(
        (content, *(look for look, _ in styles), *([mask] if mask is not None else [])),
        *(shares, mask is not None, settings.canonical_json(), ENGINE_VERSION),
        *(network.architecture, network.weights_digest, run.dtype, network.device.type),
        run.memory_budget_bytes,
    )
    resumed = checkpoint if checkpoint is not None and checkpoint.identity == identity else None
    if resumed is not None:
        run.losses, run.recoveries = [list(resumed.losses)], [resumed.recoveries]
        run.notes = dict.fromkeys(resumed.notes)

    with reproducible(tf32=settings.precision == "tf32"):
        for finished, scale in enumerate(scales(settings, content.size)):
            if resumed is not None and finished < resumed.scale:
                continue
            stage = Stage(resumed.state if resumed is not None and finished == resumed.scale else None)
            try:
                run.descend(scale, stage)
            except HandedBack:
                if on_checkpoint is not None and stage.snapshot is not None:
                    state, notes = stage.snapshot(), tuple(run.notes)
                    held = Checkpoint(identity, finished, run.losses[0], run.recoveries[0], notes, state)
                    on_checkpoint(held)
                raise
    return _results(run, [content])[0]


def stylize_stack(
    pairs: Sequence[tuple[Image.Image, Style]],
    settings: StyleSettings,
    network: Network,
    *,
    targets: TargetCache | None = None,
    memory_budget_bytes: int | None = None,
) -> list[StyleResult]:
    """What `stylize` makes of each pair, all optimised side by side: for a device that one picture can't
    fill. The results are those of one after another within rounding, not to the byte.

    Contents must have one size. Raises what `stylize` does, BadSettings for contents of several sizes, and
    OutOfDeviceMemory for more of them than fit the memory budget whole.
    """
    contents = [content for content, _ in pairs]
    if not contents:
        return []
    for index, content in enumerate(contents, start=1):
        check_picture(content, f"content {index} of {len(contents)}")
    if len({content.size for content in contents}) != 1:
        raise BadSettings("a stack takes contents of one size: sort them by size first")
    looks = [styles_with_shares(style) for _, style in pairs]
    run = _begun(contents, looks, settings, network, targets, memory_budget_bytes)
    with reproducible(tf32=settings.precision == "tf32"):
        for scale in scales(settings, contents[0].size):
            run.descend(scale, Stage())
    return _results(run, contents)


def _begun(
    contents: Sequence[Image.Image],
    looks: Sequence[Looks],
    settings: StyleSettings,
    network: Network,
    targets: TargetCache | None,
    memory_budget_bytes: int | None,
    *,
    mask: Image.Image | None = None,
) -> Run:
    check_match(network, settings.network, settings.weights)
    for name in (*settings.content_layers, *settings.style_layers):
        layer_position(name, network.architecture)
    if memory_budget_bytes is None:
        memory_budget_bytes = default_budget_bytes(network.device)
    return Run(
        contents=[scene_before_transfer(content, settings.colours) for content in contents],
        looks=[
            [(style_before_transfer(look, content, settings.colours), share) for look, share in styles]
            for content, styles in zip(contents, looks, strict=True)
        ],
        mask=mask,
        settings=settings,
        network=network,
        dtype=resolve_precision(settings.precision, network.device),
        cache=targets if targets is not None else TargetCache(),
        memory_budget_bytes=memory_budget_bytes,
        losses=[[] for _ in contents],
        recoveries=[0 for _ in contents],
    )


def _results(run: Run, contents: Sequence[Image.Image]) -> list[StyleResult]:
    if run.picture is None or not bool(run.picture.isfinite().all()):
        raise Diverged("the optimisation produced no finite picture: lower the weights or the learning rate")
    return [
        StyleResult(
            image=after_transfer(to_picture(picture.unsqueeze(0)), content, run.settings.colours),
            losses=losses,
            steps=len(losses),
            timings=dict(run.timings),
            precision=precision_used(run.settings.precision, run.dtype, run.network.device),
            device=str(run.network.device),
            recoveries=recoveries,
            notes=tuple(run.notes),
        )
        for picture, content, losses, recoveries in zip(
            run.picture, contents, run.losses, run.recoveries, strict=True
        )
    ]
