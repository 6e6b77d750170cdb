"""The contact sheet: contents across, styles down, each result where its row and column cross."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impasto.producer.demo.contact_sheet import GROUND, cell_box, contact_sheet

CELL_PX = 48


def plain(colour: tuple[int, int, int], width_px: int = 40, height_px: int = 40) -> Image.Image:
    return Image.new("RGB", (width_px, height_px), colour)


def cell(sheet: Image.Image, column: int, row: int) -> Image.Image:
    return sheet.crop(cell_box(column, row, cell_px=CELL_PX))


def centre(sheet: Image.Image, column: int, row: int) -> object:
    return cell(sheet, column, row).getpixel((CELL_PX // 2, CELL_PX // 2))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4))
def test_heads_and_results_land_in_their_cells(contents: int, styles: int) -> None:
    content = {f"c{k}": (10 + 40 * k, 0, 90) for k in range(contents)}
    style = {f"s{k}": (0, 10 + 40 * k, 180) for k in range(styles)}
    result = {(c, s): (content[c][0], style[s][1], 30) for c, s in product(content, style)}
    sheet = contact_sheet(
        [(name, plain(colour)) for name, colour in content.items()],
        [(name, plain(colour)) for name, colour in style.items()],
        {pair: plain(colour) for pair, colour in result.items()},
        cell_px=CELL_PX,
    )
    for column, (name, colour) in enumerate(content.items(), start=1):
        assert centre(sheet, column, 0) == colour
        for row, other in enumerate(style, start=1):
            assert centre(sheet, column, row) == result[name, other]
    for row, colour in enumerate(style.values(), start=1):
        assert centre(sheet, 0, row) == colour
    assert cell(sheet, 0, 0).getcolors() == [(CELL_PX * CELL_PX, GROUND)]
    _, _, right, bottom = cell_box(contents, styles, cell_px=CELL_PX)
    assert sheet.width > right
    assert sheet.height > bottom


def test_cells_never_overlap_and_leave_room_for_their_captions() -> None:
    for cell_px in (16, 48, 256):
        for column, row in product(range(3), repeat=2):
            left, top, right, bottom = cell_box(column, row, cell_px=cell_px)
            assert (right - left, bottom - top) == (cell_px, cell_px)
            assert cell_box(column + 1, row, cell_px=cell_px)[0] > right
            assert cell_box(column, row + 1, cell_px=cell_px)[1] >= bottom + 12


@pytest.mark.parametrize(("width_px", "height_px"), [(200, 50), (50, 200), (7, 21)])
def test_a_picture_keeps_its_aspect_and_is_centred(width_px: int, height_px: int) -> None:
    red = (200, 0, 0)
    sheet = contact_sheet([("c", plain(red, width_px, height_px))], [], {}, cell_px=CELL_PX)
    filled = cell(sheet, 1, 0).point(lambda value: 255 if value > 225 else 0).getchannel(1)
    box = filled.point(lambda value: 255 - value).getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert max(right - left, bottom - top) == CELL_PX
    assert (right - left) / (bottom - top) == pytest.approx(width_px / height_px, rel=0.1)
    assert abs(left - (CELL_PX - right)) <= 1
    assert abs(top - (CELL_PX - bottom)) <= 1


def test_a_missing_result_is_a_grey_hatched_cell_and_its_neighbours_stay() -> None:
    blue = (0, 0, 220)
    sheet = contact_sheet(
        [("a", plain((9, 9, 9))), ("b", plain((9, 9, 9)))],
        [("s", plain((9, 9, 9)))],
        {("b", "s"): plain(blue)},
        cell_px=CELL_PX,
    )
    colours = cell(sheet, 1, 1).getcolors(CELL_PX * CELL_PX)
    assert colours is not None
    assert len(colours) > 2
    assert all(isinstance(value, tuple) and max(value) - min(value) < 16 for _, value in colours)
    assert GROUND not in {value for _, value in colours}
    assert centre(sheet, 2, 1) == blue


def test_every_picture_has_its_name_under_it_and_a_long_name_stays_in_its_column() -> None:
    named, nameless = (
        contact_sheet([(name, plain((9, 9, 9)))] * 2, [], {}, cell_px=CELL_PX)
        for name in ("a-name-that-is-much-longer-than-its-picture-is-wide\n" * 3, "")
    )
    left, _, right, bottom = cell_box(1, 0, cell_px=CELL_PX)
    under = (left, bottom, right, named.height)
    assert named.crop(under).tobytes() != nameless.crop(under).tobytes()
    between = (right, bottom, cell_box(2, 0, cell_px=CELL_PX)[0], named.height)
    assert named.crop(between).tobytes() == nameless.crop(between).tobytes()


def test_pictures_with_an_alpha_channel_or_a_palette_are_taken() -> None:
    pictures = [("a", plain((9, 99, 9)).convert("RGBA")), ("p", plain((9, 99, 9)).quantize())]
    sheet = contact_sheet(pictures, [], {}, cell_px=CELL_PX)
    assert centre(sheet, 1, 0) == centre(sheet, 2, 0) == (9, 99, 9)
