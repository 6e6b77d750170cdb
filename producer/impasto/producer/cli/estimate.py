"""`impasto estimate`: what a submission would come to."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.producer.cli.answers import as_json
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
    QualityOption,
    SetOption,
    SizeOption,
    StepsOption,
    StylesOption,
    check_sources,
    parse_settings,
)
from impasto.producer.cli.submissions import name_rejected, note_left_out, rejected_fields
from impasto.producer.request import DEFAULT_PRESET, SubmissionRefused


def estimate(
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONTENTS]...", help="Photographs, as --contents.", show_default=False),
    ] = None,
    contents: Annotated[
        list[str] | None,
        typer.Option("--contents", "-c", help="Photographs, named as for impasto submit."),
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
    output_names: OutputNamesOption = None,
    set_: SetOption = None,
    pairs: PairsOption = "product",
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many would work. [default: those alive, or 1]")
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(min=0, help="What an hour of one worker costs. [default: IMPASTO_PRICE_PER_HOUR]"),
    ] = None,
    recheck: RecheckOption = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Tell what a submission would come to: pairs, time, bytes, cost, and what is there from earlier.

    Inputs are checked as by impasto submit; nothing is uploaded or submitted. Time and bytes are by what was
    measured on results in the store.
    """
    from impasto.producer.client import Client

    photographs = [*(named or ()), *(contents or ())]
    check_sources(
        manifest, manifest_format, photographs, [*(styles or ()), *(blend or ())], masks or (), pairs
    )
    blends = parse_blends(blend or ())
    settings = parse_settings(
        size, steps, set_ or (), preview=preview, format=format_, quality=quality, exif=exif
    )
    screen = Screen(quiet=quiet, progress=not no_progress)
    with Client() as client:
        try:
            with interruptible("nothing was submitted"), screen.transfer() as on_progress:
                answer = estimated(
                    client,
                    manifest,
                    manifest_format,
                    photographs,
                    [*(styles or ()), *blends],
                    masks or (),
                    preset=preset,
                    settings=settings,
                    pairs=pairs,
                    strict=False,
                    recheck=recheck,
                    output_names=output_names,
                    on_progress=on_progress,
                    workers=workers,
                    price_per_hour=price_per_hour,
                )
        except SubmissionRefused as error:
            name_rejected(screen, error.rejected)
            if json_:
                as_json({"batch": None, "pairs": 0, "rejected": rejected_fields(error.rejected)})
            raise
    name_rejected(screen, answer.rejected)
    for submission in answer.submissions:
        note_left_out(screen, submission, of_rows=manifest is not None)
    tell_estimate(answer, screen, what="estimate", as_json_=json_)
