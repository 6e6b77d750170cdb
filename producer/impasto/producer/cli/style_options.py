"""What commands that make pairs have in common: the options that say what is made, and how they are read."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand

from impasto.producer.request import setting_value
from impasto.shared.errors import BadSettings
from impasto.shared.settings import PRESETS, ExifChoice, OutputFormat

PREVIEW_PX: Final = 256
_MANY: Final = {
    "--contents": "--contents",
    "-c": "--contents",
    "--styles": "--styles",
    "-s": "--styles",
    "--masks": "--masks",
}


def known_presets(incomplete: str) -> list[str]:
    """For shell completion."""
    return [name for name in sorted(PRESETS) if name.startswith(incomplete)]


StylesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--styles",
        "-s",
        help="Paintings: files, folders, globs, s3://bucket/prefix, store:prefix; one or more.",
    ),
]
BlendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--blend",
        metavar="NAME=PATH:WEIGHT,…",
        help="One more style, of several paintings; as often as needed.",
    ),
]
MasksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--masks",
        help="Where the style applies: white there, black where the photograph stays; each named and "
        "sized as its photograph.",
    ),
]
ManifestOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Instead of all these a list of pairs, .csv or .jsonl, or - for standard input; each row "
        "has content and style, and may have mask, name and settings of its own.",
    ),
]
ManifestFormatOption = Annotated[
    Literal["csv", "jsonl"] | None,
    typer.Option(help="Of the manifest, where its extension does not tell."),
]
PresetOption = Annotated[
    str,
    typer.Option(
        help="gallery (looks best), gatys (the paper) or tutorial (PyTorch's).",
        autocompletion=known_presets,
    ),
]
SizeOption = Annotated[
    int | None, typer.Option(metavar="PIXELS", help="Longer side of the results; also --set size_px=.")
]
PreviewOption = Annotated[
    bool,
    typer.Option(
        "--preview",
        help=f"A small picture, soon, that shows what the full size would give; also --set "
        f"preview_px={PREVIEW_PX}.",
    ),
]
StepsOption = Annotated[
    int | None, typer.Option(help="Steps of the optimisation at full size; also --set steps=.")
]
FormatOption = Annotated[
    OutputFormat | None,
    typer.Option("--format", help="Of the results; png unless given. Also --set format=."),
]
QualityOption = Annotated[
    int | None,
    typer.Option(help="1 to 100, of JPEG, WebP and AVIF; 95 unless given. Also --set quality=."),
]
ExifOption = Annotated[
    ExifChoice | None,
    typer.Option(
        help="What results keep of the photographs' EXIF data. safe (the default): time, credit, camera; "
        "all: also place, serial numbers, maker notes; strip: nothing. Also --set exif=.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; as often as needed."),
]
OutputNamesOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEMPLATE",
        help="What results are called, of {content}, {style}, {path} (the photograph's folders), "
        "{batch}, {date} and any text; slashes make folders. [default: {content}__{style}]",
    ),
]
PriorityOption = Annotated[int, typer.Option(help="0 is served first, 9 last.")]
PairsOption = Annotated[
    Literal["product", "zip"],
    typer.Option(help="product: every content with every style; zip: the first with the first, …"),
]


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
