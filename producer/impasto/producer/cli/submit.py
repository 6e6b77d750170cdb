"""`impasto submit`: photographs × paintings become a batch."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand

from impasto.producer.cli.answers import as_json, counts_line
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.estimates import estimated, tell_estimate
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption, RecheckOption
from impasto.producer.cli.screen import Screen, interruptible
from impasto.producer.cli.submissions import (
    ago,
    matrix,
    name_rejected,
    note_left_out,
    note_uploads,
    rejected_fields,
    submission_fields,
)
from impasto.producer.cli.watch import follow
from impasto.producer.request import (
    DEFAULT_PRESET,
    Submission,
    SubmissionRefused,
    check_heading,
    setting_value,
)
from impasto.shared.errors import BadSettings
from impasto.shared.ledger import BatchStatus
from impasto.shared.settings import PRESETS, ExifChoice, OutputFormat

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
        list[str] | None,
        typer.Option(
            "--contents",
            "-c",
            help="Photographs: files, folders, globs, s3://bucket/prefix, store:prefix; one or more.",
        ),
    ] = None,
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
    manifest: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Instead of all these a list of pairs, .csv or .jsonl, or - for standard input; each row "
            "has content and style, and may have mask, name and settings of its own.",
        ),
    ] = None,
    manifest_format: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option(help="Of the manifest, where its extension does not tell."),
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
    format_: Annotated[
        OutputFormat | None,
        typer.Option("--format", help="Of the results; png unless given. Also --set format=."),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100, of JPEG, WebP and AVIF; 95 unless given. Also --set quality=."),
    ] = None,
    exif: Annotated[
        ExifChoice | None,
        typer.Option(
            help="What results keep of the photographs' EXIF data. safe (the default): time, credit, camera; "
            "all: also place, serial numbers, maker notes; strip: nothing. Also --set exif=.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; as often as needed."),
    ] = None,
    output_names: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="What results are called, of {content}, {style}, {path} (the photograph's folders), "
            "{batch}, {date} and any text; slashes make folders. [default: {content}__{style}]",
        ),
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
    again: Annotated[
        bool, typer.Option("--again", help="A new batch, even if the same was submitted within a day.")
    ] = False,
    recheck: RecheckOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, count and estimate everything, submit nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until the batch is over, and end as it does.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="As --watch, but without progress: for scripts.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Make a batch: every photograph with every painting and every blend of paintings, or a manifest's pairs.

    Each input is checked first. A bad one is named with its reason and the rest goes on; --strict refuses
    instead. What is in S3 already is read where it lies, the rest is uploaded once.
    """
    from impasto.producer.client import Client

    check_sources(
        manifest, manifest_format, contents or (), [*(styles or ()), *(blend or ())], masks or (), pairs
    )
    blends = parse_blends(blend or ())
    settings = parse_settings(
        size, steps, set_ or (), preview=preview, format=format_, quality=quality, exif=exif
    )
    screen = Screen(quiet=quiet, progress=not no_progress)
    with Client() as client:
        stands = "nothing was submitted; what was uploaded already is not uploaded again next time"
        try:
            with interruptible(stands), screen.transfer() as on_progress:
                submissions: tuple[Submission, ...]
                estimate = None
                if dry_run:
                    check_heading(name, token, priority)
                    estimate = estimated(
                        client,
                        manifest,
                        manifest_format,
                        contents or (),
                        [*(styles or ()), *blends],
                        masks or (),
                        preset=preset,
                        settings=settings,
                        pairs=pairs,
                        strict=strict,
                        recheck=recheck,
                        output_names=output_names,
                        on_progress=on_progress,
                    )
                    submissions, rejected = estimate.submissions, estimate.rejected
                elif manifest is not None:
                    made = client.submit_manifest(
                        manifest,
                        format=manifest_format,
                        preset=preset,
                        settings=settings,
                        name=name,
                        owner=owner(),
                        priority=priority,
                        token=token,
                        strict=strict,
                        again=again,
                        recheck=recheck,
                        output_names=output_names,
                        on_progress=on_progress,
                    )
                    submissions, rejected = made.submissions, made.rejected
                else:
                    submission = client.submit(
                        contents or (),
                        [*(styles or ()), *blends],
                        masks=masks or (),
                        preset=preset,
                        settings=settings,
                        name=name,
                        owner=owner(),
                        priority=priority,
                        pairs=pairs,
                        token=token,
                        strict=strict,
                        again=again,
                        recheck=recheck,
                        output_names=output_names,
                        on_progress=on_progress,
                    )
                    submissions, rejected = (submission,), submission.rejected
        except SubmissionRefused as error:
            name_rejected(screen, error.rejected)
            if json_:
                as_json({"batch": None, "pairs": 0, "rejected": rejected_fields(error.rejected)})
            raise
        name_rejected(screen, rejected)
        for submission in submissions:
            note_left_out(screen, submission, of_rows=manifest is not None)
        if estimate is not None:
            tell_estimate(estimate, screen, what="dry run", as_json_=json_)
            return
        for submission in submissions:
            _answer(submission, screen, as_json_=json_, token=token)
        batches = [submission.batch for submission in submissions if submission.batch is not None]
        if (watch or wait) and batches:
            following = Screen(quiet=quiet, progress=not (no_progress or wait))
            # Cancelled is more than failed, and failed more than done.
            raise typer.Exit(
                max(follow(client, batch, following, as_json_=json_, final_only=True) for batch in batches)
            )
        statuses = [client.status(batch) for batch in batches]
        if any(not status.is_over and not status.workers for status in statuses):
            screen.note("no worker is alive: it waits until one is (impasto up, or impasto worker)")
        for status in statuses:
            screen.note(_what_next(status))


def _what_next(status: BatchStatus) -> str:
    if not status.is_over:
        return f"watch it: impasto watch {status.batch}"
    retry = f"; impasto retry {status.batch} tries again what failed" if status.failed else ""
    return f"it is over: {counts_line(status)}{retry}"


def check_sources(
    manifest: str | None,
    manifest_format: str | None,
    contents: Sequence[str],
    styles: Sequence[str],
    masks: Sequence[str],
    pairs: str,
) -> None:
    """Raises BadParameter for a manifest beside lists, and for half of what a batch is made of."""
    if manifest is not None:
        if contents or styles or masks or pairs != "product":
            raise typer.BadParameter(
                "a manifest has its own contents, styles, masks and pairs: give --manifest alone, or none"
            )
    elif manifest_format is not None:
        raise typer.BadParameter("--manifest-format is of a --manifest, and none is given")
    elif not contents:
        raise typer.BadParameter("give --contents, or a --manifest")
    elif not styles:
        raise typer.BadParameter("give --styles, or --blend, or both")


def parse_settings(
    size: int | None, steps: int | None, assignments: Sequence[str], *, preview: bool = False, **named: Any
) -> dict[str, Any]:
    """The fields to replace in the preset: `named` by themselves, None where not given, and `assignments`.

    Raises BadSettings for what is no assignment, or one too many.
    """
    given = {"size_px": size, "steps": steps, "preview_px": PREVIEW_PX if preview else None, **named}
    fields = {name: value for name, value in given.items() if value is not None}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise BadSettings(f"--set {assignment!r} sets nothing: write --set key=value")
        if key in fields:
            raise BadSettings(f"{key} is set twice")
        fields[key] = setting_value(key, text)
    return fields


def owner() -> str:
    """Whose batch it is: the user's name, empty where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user that has no name.
        return ""


def _answer(submission: Submission, screen: Screen, *, as_json_: bool, token: str | None) -> None:
    note_uploads(screen, submission)
    if as_json_:
        as_json(submission_fields(submission, dry_run=False))
    elif submission.created:
        typer.echo(f"{submission.batch}: {matrix(submission)}")
    elif token is not None:
        typer.echo(f"{submission.batch}: {matrix(submission)}, submitted before with this token")
    else:
        again = "--again makes a new batch"
        typer.echo(f"{submission.batch}: {matrix(submission)}, the same as {ago(submission)}; {again}")
