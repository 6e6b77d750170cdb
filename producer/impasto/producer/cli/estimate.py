"""`impasto estimate`: what a submission would come to."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.blends import parse_blends
from impasto.producer.cli.estimates import estimated, tell_estimate
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption, RecheckOption
from impasto.producer.cli.screen import Screen, interruptible
from impasto.producer.cli.submissions import name_rejected, note_left_out, rejected_fields
from impasto.producer.cli.submit import PREVIEW_PX, check_sources, known_presets, parse_settings
from impasto.producer.request import DEFAULT_PRESET, SubmissionRefused
from impasto.shared.settings import ExifChoice, OutputFormat


def estimate(
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONTENTS]...", help="Photographs, as --contents.", show_default=False),
    ] = None,
    contents: Annotated[
        list[str] | None,
        typer.Option("--contents", "-c", help="Photographs, named as for impasto submit."),
    ] = None,
    styles: Annotated[
        list[str] | None, typer.Option("--styles", "-s", help="Paintings, named in the same ways.")
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option("--blend", metavar="NAME=PATH:WEIGHT,…", help="One more style, of several paintings."),
    ] = None,
    masks: Annotated[list[str] | None, typer.Option("--masks", help="The photographs' masks.")] = None,
    manifest: Annotated[
        str | None, typer.Option(metavar="FILE", help="Instead of all these a list of pairs.")
    ] = None,
    manifest_format: Annotated[Literal["csv", "jsonl"] | None, typer.Option(help="Of the manifest.")] = None,
    preset: Annotated[
        str, typer.Option(help="gallery, gatys or tutorial.", autocompletion=known_presets)
    ] = DEFAULT_PRESET,
    size: Annotated[int | None, typer.Option(metavar="PIXELS", help="Longer side of the results.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help=f"Of previews, {PREVIEW_PX} px long.")] = False,
    steps: Annotated[int | None, typer.Option(help="Steps of the optimisation at full size.")] = None,
    format_: Annotated[OutputFormat | None, typer.Option("--format", help="Of the results.")] = None,
    quality: Annotated[int | None, typer.Option(help="1 to 100, of JPEG, WebP and AVIF.")] = None,
    exif: Annotated[ExifChoice | None, typer.Option(help="What results keep of EXIF data.")] = None,
    output_names: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="What results are called.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting.")
    ] = None,
    pairs: Annotated[
        Literal["product", "zip"], typer.Option(help="product or zip, as for impasto submit.")
    ] = "product",
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
