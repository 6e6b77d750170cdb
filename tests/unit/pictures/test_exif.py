from __future__ import annotations

import io
import re
import struct
import tracemalloc
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from impasto.shared.pictures import FORMATS, Exif, decode, encode, read_embedded
from impasto.shared.pictures.exif import LIMIT_BYTES
from impasto.shared.settings import OutputFormat

WRITTEN: tuple[OutputFormat, ...] = get_args(OutputFormat)
TAG, SHOT, PLACE = ExifTags.Base, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
CREDIT = {TAG.Artist: "Zoë Müller", TAG.Copyright: "© 2026 Zoë Müller", TAG.Make: "Lumen", TAG.Model: "L 7"}
TIME = {TAG.DateTimeOriginal: "2026:05:04 03:02:01", TAG.OffsetTimeOriginal: "+02:00"}
PRIVATE = {TAG.BodySerialNumber: "S-12345", TAG.CameraOwnerName: "Owner", TAG.MakerNote: b"notes" * 20}
METADATA = {"fingerprint": "f" * 64}


def photograph(format: str = "jpeg", *, place: bool = True, maker: bytes = b"notes" * 20) -> bytes:
    """As a camera writes it, with texts in UTF-8, a preview, and an orientation."""
    buffer = io.BytesIO()
    image = Image.new("RGB", (48, 32), (90, 120, 40))
    image.save(buffer, FORMATS[format].pillow_name, exif=camera_exif(place=place, maker=maker))
    return buffer.getvalue()


def camera_exif(*, place: bool, maker: bytes) -> bytes:
    head = b"II*\0\x08\0\0\0"

    def directory(fields: dict[int, Any], at: int, following: int = 0) -> bytes:
        made = ImageFileDirectory_v2(head)
        for tag, value in fields.items():
            made.tagtype[tag] = 2 if isinstance(value, str) else 7 if isinstance(value, bytes) else 4
            made[tag] = value.encode() if isinstance(value, str) else value
        written = bytearray(made.tobytes(at))
        end_of_entries = 2 + 12 * len(fields)
        written[end_of_entries : end_of_entries + 4] = following.to_bytes(4, "little")
        return bytes(written)

    shot = {**TIME, **PRIVATE, TAG.MakerNote: maker, TAG.ExifImageWidth: 9999, TAG.ColorSpace: 2}
    gps: dict[int, Any] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSDateStamp: "2026:05:04"}
    preview = {TAG.Compression: 6, TAG.JpegIFByteCount: 4}
    main: dict[int, Any] = {
        **CREDIT,
        TAG.Orientation: 6,
        TAG.ImageDescription: "The harbour & <boats>",
        TAG.HostComputer: "Ann's laptop",
        SHOT: 0,
    }
    if place:
        main[PLACE] = 0
    at = 8 + len(directory(main, 8))
    rest = b""
    for pointer, fields in ((SHOT, shot), (PLACE, gps)):
        if pointer in main:
            main[pointer] = at + len(rest)
            rest += directory(fields, at + len(rest))
    end = at + len(rest)
    return b"Exif\0\0" + head + directory(main, 8, following=end) + rest + directory(preview, end)


def kept(data: bytes, choice: Any, format: OutputFormat = "png") -> bytes:
    """What a result in that format is, made of the photograph."""
    picture = decode(data, name="photo.jpg", max_pixels=10_000)
    return encode(picture.rgb, format=format, metadata=METADATA, exif=picture.exif.chosen(choice)).data


def told(data: bytes) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """What Pillow finds in a result: the main directory, the shot's, the place's."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(SHOT)), dict(exif.get_ifd(PLACE))


def text(value: str) -> str:
    """As Pillow reads what is UTF-8."""
    return value.encode().decode("latin-1")


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "tiff", "avif", "heic"])
def test_a_result_keeps_who_took_the_photograph_and_when_and_not_where(
    source: str, format: OutputFormat
) -> None:
    result = kept(photograph(source), "safe", format)
    main, shot, place = told(result)
    credit = {tag: text(value) for tag, value in CREDIT.items()}
    if source in ("tiff", "avif"):
        # So does Pillow write these sources.
        credit = {tag: value.encode("ascii", "replace").decode() for tag, value in credit.items()}
    assert {tag: main.get(tag) for tag in CREDIT} == credit
    assert shot == TIME
    assert place == {}
    for private in (b"S-12345", b"Owner", b"notes", b"laptop", b"harbour"):
        assert private not in result
    assert read_embedded(result) == METADATA


@pytest.mark.parametrize("format", WRITTEN)
def test_all_keeps_the_place_and_the_makers_notes_but_nothing_that_is_untrue_of_the_result(
    format: OutputFormat,
) -> None:
    main, shot, place = told(kept(photograph(), "all", format))
    assert main[TAG.HostComputer] == "Ann's laptop"
    assert shot[TAG.BodySerialNumber] == "S-12345"
    assert shot[TAG.MakerNote] == b"notes" * 20
    assert place[ExifTags.GPS.GPSLatitudeRef] == "N"
    untrue = {TAG.Orientation, TAG.JpegIFByteCount, TAG.ExifImageWidth, TAG.ColorSpace}
    assert not untrue & (main.keys() | shot.keys())
    with Image.open(io.BytesIO(kept(photograph(), "all", format))) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1) == {}
        assert image.size == (32, 48)


@pytest.mark.parametrize("format", WRITTEN)
def test_strip_keeps_nothing_but_what_impasto_writes_itself(format: OutputFormat) -> None:
    result = kept(photograph(), "strip", format)
    main, shot, place = told(result)
    assert not set(CREDIT) & main.keys()
    assert (shot, place) == ({}, {})
    assert read_embedded(result) == METADATA
    assert result == kept(photograph(place=False, maker=b"other"), "strip", format)


@pytest.mark.parametrize("choice", ["safe", "all", "strip"])
@pytest.mark.parametrize("format", WRITTEN)
def test_every_result_says_in_xmp_that_an_algorithm_made_it(format: OutputFormat, choice: str) -> None:
    result = kept(photograph(), choice, format)
    (found,) = re.findall(rb"<x:xmpmeta.*?</x:xmpmeta>", result, re.DOTALL)
    packet = ET.fromstring(found)  # noqa: S314 (it is our own)
    (source,) = packet.iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert source.text is not None
    assert source.text.startswith("http://cv.iptc.org/newscodes/digitalsourcetype/")
    descriptions = [
        "".join(d.itertext()) for d in packet.iter("{http://purl.org/dc/elements/1.1/}description")
    ]
    assert descriptions == (["The harbour & <boats>"] if choice == "all" else [])


def test_a_result_that_is_restyled_keeps_the_credit_again() -> None:
    once = kept(photograph(), "safe", "tiff")
    main, shot, _ = told(kept(once, "safe", "jpeg"))
    assert main[TAG.Copyright] == text(CREDIT[TAG.Copyright])
    assert shot == TIME
    assert "harbour" not in str(decode(once, name="x", max_pixels=10_000).exif)


def test_maker_notes_too_large_for_any_format_are_left_out_and_the_rest_is_kept() -> None:
    picture = decode(photograph("png", maker=b"m" * 70_000), name="x", max_pixels=10_000)
    assert len(picture.exif.to_bytes()) <= LIMIT_BYTES
    main, shot, place = told(encode(picture.rgb, format="jpeg", exif=picture.exif).data)
    assert TAG.MakerNote not in shot
    assert shot[TAG.BodySerialNumber] == "S-12345"
    assert main[TAG.Artist] == text(CREDIT[TAG.Artist])
    assert place


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=3)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["safe", "all"]),
    st.sampled_from(WRITTEN),
)
def test_whatever_the_exif_data_are_the_picture_is_taken_and_the_result_is_whole(
    changes: list[tuple[float, bytes]], choice: Any, format: OutputFormat
) -> None:
    exif = bytearray(camera_exif(place=True, maker=b"notes"))
    for place, change in changes:
        at = 6 + int(place * (len(exif) - 6))
        exif[at : at + len(change)] = change
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "png", exif=bytes(exif))
    result = kept(buffer.getvalue(), choice, format)
    assert decode(result, name="x", max_pixels=10_000).rgb.size in ((16, 16),)
    assert read_embedded(result) == METADATA


def test_a_field_of_millions_of_fractions_takes_no_memory_and_not_its_neighbours() -> None:
    fractions, end = 500_000, 8 + 2 + 2 * 12 + 4
    directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    directory.tagtype[TAG.Copyright] = 2
    directory[TAG.Copyright] = b"Ann"
    exif = b"II*\0" + struct.pack("<LHHHLL", 8, 2, TAG.Artist, 5, fractions, end)
    exif += directory.tobytes(8)[2:14] + bytes(4) + struct.pack("<LL", 1, 3) * fractions
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "png", exif=b"Exif\0\0" + exif)
    tracemalloc.start()
    picture = decode(buffer.getvalue(), name="x", max_pixels=10_000)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 8 * len(exif)
    assert set(picture.exif.main) == {TAG.Copyright}


def test_exif_data_that_are_damaged_as_a_whole_are_noted() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "jpeg", exif=b"Exif\0\0nothing of the kind")
    picture = decode(buffer.getvalue(), name="x", max_pixels=10_000)
    assert picture.notes == ("its EXIF data are damaged and were left out",)
    assert picture.exif == Exif()
