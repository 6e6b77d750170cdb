"""`impasto submit`: photographs × paintings become a batch."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen, counted, interruptible
from impasto.producer.cli.watch import follow
from impasto.producer.request import DEFAULT_PRESET, Submission, SubmissionRefused
from impasto.producer.sources import Rejected
from impasto.shared.errors import BadSettings
from impasto.shared.settings import PRESETS, StyleSettings

_MANY: Final = {
    "--contents": "--contents",
    "-c": "--contents",
    "--styles": "--styles",
    "-s": "--styles",
    "--masks": "--masks",
}
PREVIEW_PX: Final = 256


class ManyValues(TyperCommand):
    """Lets `--contents`, `--styles` and `--masks` take all that follows, as a shell makes of `-c *.jpg`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeat_options(args))


def repeat_options(args: Sequence[str]) -> list[str]:
    """`--contents a b` as `--contents a --contents b`."""
    repeated: list[str] = []
    option: str | None = None
    values = 0
    for arg in args:
        if arg.startswith("-") and len(arg) > 1:
            name, equals, _ = arg.partition("=")
            option, values = _MANY.get(name), 1 if equals else 0
            repeated.append(arg)
        else:
            if option is not None and values:
                repeated.append(option)
            repeated.append(arg)
            values += 1
    return repeated


def known_presets(incomplete: str) -> list[str]:
    return [name for name in sorted(PRESETS) if name.startswith(incomplete)]


def submit(
    contents: Annotated[
        list[str],
        typer.Option(
            "--contents",
            "-c",
            help="Photographs: files, folders, globs, s3://bucket/prefix, store:prefix; one or more.",
        ),
    ],
    styles: Annotated[
        list[str] | None,
        typer.Option("--styles", "-s", help="Paintings, named in the same ways; one or more."),
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option(
            "--blend",
            metavar="NAME=PATH:WEIGHT,…",
            help="One more style, of several paintings; as often as needed.",
        ),
    ] = None,
    masks: Annotated[
        list[str] | None,
        typer.Option(
            "--masks",
            help="Where the style applies: white there, black where the photograph stays; each named and "
            "sized as its photograph.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="gallery (looks best), gatys (the paper) or tutorial (PyTorch's).",
            autocompletion=known_presets,
        ),
    ] = DEFAULT_PRESET,
    size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Longer side of the results; also --set size_px=.")
    ] = None,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help=f"A small picture, soon, that shows what the full size would give; also --set "
            f"preview_px={PREVIEW_PX}.",
        ),
    ] = False,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the optimisation at full size; also --set steps=.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; as often as needed."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="What to call the batch. [default: date and time]")
    ] = None,
    priority: Annotated[int, typer.Option(help="0 is served first, 9 last.")] = 5,
    pairs: Annotated[
        Literal["product", "zip"],
        typer.Option(help="product: every content with every style; zip: the first with the first, …"),
    ] = "product",
    token: Annotated[
        str | None, typer.Option(help="The same token again (within 30 days) is the same batch.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Submit nothing if any input is bad.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and count everything, submit nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until the batch is over, and end as it does.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Make a batch: every photograph with every painting and every blend of paintings.

    Each input is checked first. A bad one is named with its reason and the rest goes on; --strict refuses
    instead. What is in S3 already is read where it lies, the rest is uploaded once.
    """
    from impasto.producer.client import Client

    if not styles and not blend:
        raise typer.BadParameter("give --styles, or --blend, or both")
    blends = parse_blends(blend or ())
    settings = parse_settings(size, steps, set_ or (), preview=preview)
    screen = Screen(quiet=quiet, progress=not no_progress)
    with Client() as client:
        stands = "nothing was submitted; what was uploaded already is not uploaded again next time"
        try:
            with interruptible(stands), screen.transfer() as on_progress:
                submission = client.submit(
                    contents,
                    [*(styles or ()), *blends],
                    masks=masks or (),
                    preset=preset,
                    settings=settings,
                    name=name,
                    owner=_owner(),
                    priority=priority,
                    pairs=pairs,
                    token=token,
                    strict=strict,
                    dry_run=dry_run,
                    on_progress=on_progress,
                )
        except SubmissionRefused as error:
            _name_rejected(screen, error.rejected)
            if json_:
                as_json({"batch": None, "pairs": 0, "rejected": _rejected_fields(error.rejected)})
            raise
        _answer(submission, screen, as_json_=json_, dry_run=dry_run)
        if watch and submission.batch is not None:
            raise typer.Exit(follow(client, submission.batch, screen, as_json_=json_, final_only=True))
        if submission.batch is not None:
            if not client.connection.ledger.workers():
                screen.note("no worker is alive: it waits until one is (impasto up, or impasto worker)")
            screen.note(f"watch it: impasto watch {submission.batch}")


def parse_settings(
    size: int | None, steps: int | None, assignments: Sequence[str], *, preview: bool = False
) -> dict[str, Any]:
    """The fields to replace in the preset. Raises BadSettings for what is no assignment, or one too many."""
    fields: dict[str, Any] = {}
    if size is not None:
        fields["size_px"] = size
    if steps is not None:
        fields["steps"] = steps
    if preview:
        fields["preview_px"] = PREVIEW_PX
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise BadSettings(f"--set {assignment!r} sets nothing: write --set key=value")
        if key in fields:
            raise BadSettings(f"{key} is set twice")
        fields[key] = _value(key, text)
    return fields


def _value(key: str, text: str) -> Any:
    """JSON where it is some, else the text itself; lists may be written with commas."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    known = StyleSettings.model_fields.get(key)
    if known is None or isinstance(value, list) or value is None:
        return value
    kinds = get_args(known.annotation) if get_origin(known.annotation) is UnionType else (known.annotation,)
    if str in kinds:
        return text
    if any(get_origin(kind) is tuple for kind in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


def _owner() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user that has no name.
        return ""


def _answer(submission: Submission, screen: Screen, *, as_json_: bool, dry_run: bool) -> None:
    _name_rejected(screen, submission.rejected)
    if submission.duplicates:
        screen.note(f"left out: {counted(submission.duplicates, 'duplicate')} of other inputs")
    if submission.skipped:
        screen.note(f"passed over: {counted(submission.skipped, 'file')} that can be no picture by the name")
    if as_json_:
        as_json(
            {
                "batch": submission.batch,
                "pairs": submission.pairs,
                "contents": submission.contents,
                "styles": submission.styles,
                "masks": submission.masks,
                "rejected": _rejected_fields(submission.rejected),
                "duplicates": submission.duplicates,
                "skipped": submission.skipped,
                "created": submission.created,
                "dry_run": dry_run,
            }
        )
        return
    contents, styles = counted(submission.contents, "content"), counted(submission.styles, "style")
    masked = f", {submission.masks:,} of them masked" if submission.masks else ""
    matrix = f"{counted(submission.pairs, 'pair')} ({contents}{masked}, {styles})"
    if dry_run:
        typer.echo(f"dry run: {matrix}; nothing was submitted")
    elif submission.created:
        typer.echo(f"{submission.batch}: {matrix}")
    else:
        typer.echo(f"{submission.batch}: {matrix}, submitted before with this token")


def _name_rejected(screen: Screen, rejected: Sequence[Rejected]) -> None:
    for one in rejected:
        screen.warn(f"rejected: {one.input}: {one.error}")


def _rejected_fields(rejected: Sequence[Rejected]) -> list[dict[str, str]]:
    return [{"input": one.input, "error": one.error} for one in rejected]
