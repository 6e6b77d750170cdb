"""`impasto submit`: photographs × paintings become a batch."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.producer.cli.answers import as_json, counts_line
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.estimates import estimated, tell_estimate
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption, RecheckOption
from impasto.producer.cli.screen import Screen, interruptible
from impasto.producer.cli.style_options import (
    BlendOption,
    ExifOption,
    FormatOption,
    ManifestFormatOption,
    ManifestOption,
    MasksOption,
    OutputNamesOption,
    PairsOption,
    PresetOption,
    PreviewOption,
    PriorityOption,
    QualityOption,
    SetOption,
    SizeOption,
    StepsOption,
    StylesOption,
    check_sources,
    owner,
    parse_settings,
)
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
)
from impasto.shared.ledger import BatchStatus


def submit(
    contents: Annotated[
        list[str] | None,
        typer.Option(
            "--contents",
            "-c",
            help="Photographs: files, folders, globs, s3://bucket/prefix, store:prefix; one or more.",
        ),
    ] = None,
    styles: StylesOption = None,
    blend: BlendOption = None,
    masks: MasksOption = None,
    manifest: ManifestOption = None,
    manifest_format: ManifestFormatOption = None,
    preset: PresetOption = DEFAULT_PRESET,
    size: SizeOption = None,
    preview: PreviewOption = False,
    steps: StepsOption = None,
    format_: FormatOption = None,
    quality: QualityOption = None,
    exif: ExifOption = None,
    set_: SetOption = None,
    output_names: OutputNamesOption = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="What to call the batch. [default: date and time]")
    ] = None,
    priority: PriorityOption = 5,
    pairs: PairsOption = "product",
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
