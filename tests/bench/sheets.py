"""The sheets in docs/gallery/, made again: `python -m tests.bench.sheets gallery options presets sizes`, from
the repository's root.

Photographs come out of scikit-image's wheel, paintings from the demo's painter. Pictures that were made
before with the same settings are taken from build/sheets/, so that a sheet goes on where it was interrupted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from PIL import Image, ImageDraw, ImageFont, ImageOps

from impasto.producer.demo.contact_sheet import CAPTION, GROUND, contact_sheet
from impasto.producer.demo.painter import paint
from impasto.shared.jobs import fingerprint
from impasto.worker.engine import Network, StyleSettings, TargetCache, load_network, stylize
from impasto.worker.engine.images import picture_digest

MADE: Final = Path("build/sheets")
GALLERY: Final = Path("docs/gallery")
CONTENTS: Final = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
MANNERS: Final = ("impasto", "pointillist", "woodcut", "watercolour")
_PAINTING_PX: Final = 768
_JPEG_QUALITY: Final = 85
_CAPTIONED_PX: Final = 224


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet: its caption and what makes it."""

    caption: str
    content: str
    styles: tuple[tuple[str, float], ...]
    settings: StyleSettings
    masked: bool = False


def gallery(size_px: int) -> Image.Image:
    """Four photographs × four manners with the preset `gallery`."""
    settings = StyleSettings.preset("gallery", size_px=size_px)
    results = {
        (_stem(content), manner): made(Cell("", content, ((manner, 1.0),), settings))
        for manner in MANNERS
        for content in CONTENTS
    }
    return contact_sheet(
        [(_stem(name), photograph(name)) for name in CONTENTS],
        [(name, painting(name)) for name in MANNERS],
        results,
        cell_px=size_px,
    )


def options(size_px: int) -> Image.Image:
    """One photograph under each option of the preset `gallery`; where nothing else is said, by a woodcut."""

    def cell(
        caption: str, styles: tuple[tuple[str, float], ...] = (("woodcut", 1.0),), **changes: Any
    ) -> Cell:
        settings = StyleSettings.preset("gallery", **{"size_px": size_px, **changes})
        return Cell(caption, "chelsea.png", styles, settings)

    plain = StyleSettings.preset("gallery")
    cells = [
        cell("gallery"),
        # The font has no signs for times and divided by.
        cell("content_weight times 4", content_weight=plain.content_weight * 4),
        cell("style_weight times 4", style_weight=plain.style_weight * 4),
        cell("style_statistic = gram", style_statistic="gram"),
        cell("wasserstein, style_weight = 2", style_statistic="wasserstein", style_weight=2),
        cell("style_scale = 0.5", style_scale=0.5),
        cell("style_scale = 2", style_scale=2),
        cell("colours = luminance", colours="luminance"),
        cell("colours = match", colours="match"),
        cell("woodcut 1 : impasto 1", (("woodcut", 0.5), ("impasto", 0.5))),
        cell("woodcut 1 : impasto 3", (("woodcut", 0.25), ("impasto", 0.75))),
        replace(cell("mask: black above, white below"), masked=True),
        cell("padding = zeros", padding="zeros"),
        cell("tv_weight = 0", tv_weight=0),
        cell("tv_weight = 10", tv_weight=10),
        cell("start = noise", start="noise"),
        cell("start = noise, seed = 1", start="noise", seed=1),
        cell(f"size_px = {2 * size_px}", size_px=2 * size_px),
        cell(f"its preview, preview_px = {size_px}", size_px=2 * size_px, preview_px=size_px),
    ]
    return grid(cells, size_px)


def presets(size_px: int) -> Image.Image:
    """One pair under each preset, `gatys` under two seeds."""
    pair = ("chelsea.png", (("impasto", 1.0),))
    cells = [
        Cell("tutorial", *pair, StyleSettings.preset("tutorial", size_px=size_px)),
        Cell("gatys", *pair, StyleSettings.preset("gatys", size_px=size_px)),
        Cell("gatys, seed = 1", *pair, StyleSettings.preset("gatys", size_px=size_px, seed=1)),
        Cell("gallery", *pair, StyleSettings.preset("gallery", size_px=size_px)),
    ]
    return grid(cells, size_px)


def sizes(size_px: int) -> Image.Image:
    """The same settings at half, once and twice the size, and a preview of the largest."""
    pair = ("coffee.png", (("woodcut", 1.0),))
    cells = [
        Cell(f"size_px = {side}", *pair, StyleSettings.preset("gallery", size_px=side))
        for side in (size_px // 2, size_px, 2 * size_px)
    ]
    preview = StyleSettings.preset("gallery", size_px=2 * size_px, preview_px=size_px // 2)
    cells.append(Cell(f"size_px = {2 * size_px}, preview_px = {size_px // 2}", *pair, preview))
    return grid(cells, 2 * size_px, columns=2)


SHEETS: Final[dict[str, Callable[[int], Image.Image]]] = {
    "gallery": gallery,
    "options": options,
    "presets": presets,
    "sizes": sizes,
}


def grid(cells: Sequence[Cell], cell_px: int, columns: int = 4) -> Image.Image:
    """Cells row by row, each over its caption, which a small cell would leave no room for."""
    cell_px = max(cell_px, _CAPTIONED_PX)
    pictures = [ImageOps.contain(made(cell), (cell_px, cell_px)) for cell in cells]
    tallest = max(picture.height for picture in pictures)
    gap, margin, caption = cell_px // 20, cell_px // 8, max(16, cell_px // 9)
    rows = -(-len(cells) // columns)
    width = 2 * margin + columns * cell_px + (columns - 1) * gap
    height = 2 * margin + rows * (tallest + caption + gap) - gap
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(10, cell_px // 18))
    for index, (cell, picture) in enumerate(zip(cells, pictures, strict=True)):
        left = margin + index % columns * (cell_px + gap)
        top = margin + index // columns * (tallest + caption + gap)
        sheet.paste(picture, (left + (cell_px - picture.width) // 2, top + (tallest - picture.height) // 2))
        draw.text(
            (left + cell_px // 2, top + tallest + 3), cell.caption, font=font, anchor="ma", fill=CAPTION
        )
    return sheet


def made(cell: Cell) -> Image.Image:
    """The cell's picture, made now or before."""
    content, styles = photograph(cell.content), [(painting(name), weight) for name, weight in cell.styles]
    looks = " ".join(f"{picture_digest(style)} {weight}" for style, weight in styles)
    mask = None
    if cell.masked:
        mask = Image.linear_gradient("L").resize(content.size)
        looks += f" {picture_digest(mask)}"
    path = MADE / f"{fingerprint(picture_digest(content), looks, cell.settings)}.png"
    if not path.exists():
        began = time.perf_counter()
        network, targets = _engine()
        result = stylize(content, styles, cell.settings, network, mask=mask, targets=targets)
        path.parent.mkdir(parents=True, exist_ok=True)
        result.image.save(path)
        names = " + ".join(name for name, _ in cell.styles)
        say(f"{_stem(cell.content)} × {names} {cell.caption}: {time.perf_counter() - began:.0f} s")
    with Image.open(path) as picture:
        return picture.convert("RGB")


@cache
def photograph(name: str) -> Image.Image:
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("scikit-image is not here: pip install 'impasto[demo]'")
    with Image.open(Path(spec.submodule_search_locations[0]) / "data" / name) as picture:
        return picture.convert("RGB")


@cache
def painting(manner: str) -> Image.Image:
    return paint(manner, size_px=_PAINTING_PX)


@cache
def _engine() -> tuple[Network, TargetCache]:
    return load_network("caffe"), TargetCache()


def _stem(name: str) -> str:
    return name.partition(".")[0]


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(
    names: Annotated[list[str], typer.Argument(help=f"any of {', '.join(SHEETS)}")],
    size: Annotated[int, typer.Option(min=32, help="longer side of each picture in pixels")] = 256,
    to: Annotated[Path, typer.Option(help="the folder for the sheets")] = GALLERY,
) -> None:
    """Make sheets of results, into docs/gallery/ if nothing else is said."""
    unknown = sorted(set(names) - set(SHEETS))
    if unknown:
        raise SystemExit(f"no sheet is called {', '.join(unknown)}: choose from {', '.join(SHEETS)}")
    to.mkdir(parents=True, exist_ok=True)
    for name in names:
        sheet = SHEETS[name](size)
        sheet.save(to / f"{name}.jpg", quality=_JPEG_QUALITY, optimize=True)
        say(f"{to / name}.jpg: {sheet.width} × {sheet.height} px")


if __name__ == "__main__":
    typer.run(main)
