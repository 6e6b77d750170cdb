"""All results of a matrix on one sheet: contents across, styles down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

GROUND = (250, 248, 243)
CAPTION = (70, 66, 60)
FAILED = (222, 220, 215)
HATCH = (204, 201, 195)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    contents: Sequence[tuple[str, Image.Image]],
    styles: Sequence[tuple[str, Image.Image]],
    results: Mapping[tuple[str, str], Image.Image],
    *,
    cell_px: int = 256,
) -> Image.Image:
    """An RGB sheet: contents in the first row, styles in the first column, results where they cross.

    `results` is keyed by (content name, style name); a pair that it lacks becomes a hatched cell that says
    "failed". Pictures are fitted into square cells of `cell_px` (at least 16) with their aspect kept.
    `cell_box` tells where each cell lies.
    """
    layout = _Layout(cell_px)
    sheet = Image.new("RGB", layout.size(len(contents), len(styles)), GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=max(8, cell_px // 18))
    for column, (name, picture) in enumerate(contents, start=1):
        _place(sheet, picture, layout.box(column, 0))
        _caption(draw, name, layout.box(column, 0), font)
    for row, (name, picture) in enumerate(styles, start=1):
        _place(sheet, picture, layout.box(0, row))
        _caption(draw, name, layout.box(0, row), font)
    for row, (style, _) in enumerate(styles, start=1):
        for column, (content, _) in enumerate(contents, start=1):
            result = results.get((content, style))
            if result is None:
                _fail(sheet, layout.box(column, row), font)
            else:
                _place(sheet, result, layout.box(column, row))
    return sheet


def cell_box(column: int, row: int, *, cell_px: int = 256) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a cell; column 0 holds the styles and row 0 the contents."""
    return _Layout(cell_px).box(column, row)


class _Layout:
    """Where cells lie. The heads (row 0, column 0) stand a little apart from the results."""

    def __init__(self, cell_px: int) -> None:
        self.cell_px = max(16, cell_px)
        self.gap_px = max(4, self.cell_px // 20)
        self.margin_px = max(8, self.cell_px // 7)
        self.caption_px = max(12, self.cell_px // 9)

    def box(self, column: int, row: int) -> tuple[int, int, int, int]:
        left = self.margin_px + column * (self.cell_px + self.gap_px) + (self.gap_px if column else 0)
        # Every style has its caption under it, so the rows leave room for one.
        top = self.margin_px + row * (self.cell_px + self.caption_px) + (self.gap_px if row else 0)
        return left, top, left + self.cell_px, top + self.cell_px

    def size(self, contents: int, styles: int) -> tuple[int, int]:
        _, _, right, bottom = self.box(contents, styles)
        return right + self.margin_px, bottom + self.margin_px


def _place(sheet: Image.Image, picture: Image.Image, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    fitted = ImageOps.contain(picture.convert("RGB"), (right - left, bottom - top), Image.Resampling.LANCZOS)
    sheet.paste(
        fitted, (left + (right - left - fitted.width) // 2, top + (bottom - top - fitted.height) // 2)
    )


def _fail(sheet: Image.Image, box: tuple[int, int, int, int], font: _Font) -> None:
    left, top, right, bottom = box
    side = right - left
    cell = Image.new("RGB", (side, bottom - top), FAILED)
    draw = ImageDraw.Draw(cell)
    for offset in range(-side, side, max(6, side // 16)):
        draw.line((offset, side, offset + side, 0), fill=HATCH, width=max(1, side // 128))
    label = draw.textbbox((side // 2, side // 2), "failed", font=font, anchor="mm")
    draw.rectangle((label[0] - 6, label[1] - 4, label[2] + 6, label[3] + 4), fill=FAILED)
    draw.text((side // 2, side // 2), "failed", font=font, anchor="mm", fill=CAPTION)
    sheet.paste(cell, (left, top))


def _caption(draw: ImageDraw.ImageDraw, name: str, box: tuple[int, int, int, int], font: _Font) -> None:
    """The name centred under the cell, shortened to its width."""
    left, _, right, bottom = box
    text = " ".join(name.split())
    if draw.textlength(text, font=font) > right - left:
        while text and draw.textlength(text + "…", font=font) > right - left:
            text = text[:-1]
        text = text.rstrip() + "…"
    draw.text(((left + right) // 2, bottom + 3), text, font=font, anchor="ma", fill=CAPTION)
