"""Bytes that somebody sent, to a picture or a reason why not."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Final

from PIL import ExifTags, Image, UnidentifiedImageError

from impasto.shared.errors import BadPicture
from impasto.shared.pictures.colour import to_srgb
from impasto.shared.pictures.exif import Exif
from impasto.shared.pictures.formats import (
    BY_PILLOW_NAME,
    LABELS,
    MIN_SIDE_PX,
    PILLOW_NAMES,
    PictureFormat,
    describe_foreign,
    format_of_boxes,
    format_of_name,
)
from impasto.shared.pictures.pillow import quiet_pillow
from impasto.shared.printable import printable

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation but the first (EXIF 2.32, 4.6.4)."""

_IN_BOXES: Final = ("avif", "heic")
_AV1_CONFIGURATION: Final = b"av1C"
_NAMED_COLOURS: Final = b"colrnclx"
_KNOWN_PRIMARIES: Final = frozenset((1, 2))
_WIDE_RANGE: Final = frozenset((16, 18))


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as the engine takes it.

    `rgb`: mode RGB, 8-bit sRGB, upright, without metadata. `alpha`: mode L of the same size, 255 opaque;
    None where all is. `format`: the name in `FORMATS`. `notes`: what a person should know, such as that
    only the first of several frames is used. `exif`: what the file says of the photograph and would be true
    of a picture made from it, at most 60,000 bytes.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    format: str
    notes: tuple[str, ...] = ()
    exif: Exif = field(default_factory=Exif)

    @property
    def width(self) -> int:
        """In pixels, upright."""
        return self.rgb.width

    @property
    def height(self) -> int:
        """In pixels, upright."""
        return self.rgb.height


def decode(data: bytes, *, name: str, max_pixels: int) -> DecodedPicture:
    """The whole picture, decoded to its last row.

    The size is judged from the header, before any pixel is decoded. An extension that lies is noted, not
    refused. Safe to call from several threads. Raises BadPicture, one line that starts with `name`, for what
    is no picture, of another format, damaged, truncated, too small or too large.
    """
    try:
        if not data:
            raise BadPicture("the file is empty")
        with quiet_pillow(), _opened(data) as image:
            return _decoded(image, data, name, max_pixels)
    except BadPicture as error:
        raise BadPicture(f"{printable(name)}: {error}") from error.__cause__
    except Exception as error:
        # Pillow answers damage with whatever its parser stumbled over: OSError, SyntaxError, struct.error, …
        reason = printable(str(error)) or type(error).__name__
        raise BadPicture(f"{printable(name)}: the picture is damaged or cut short ({reason})") from error


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=PILLOW_NAMES)
    except UnidentifiedImageError as error:
        ours = format_of_boxes(data)
        if ours is not None:
            raise BadPicture(
                f"the {ours.label} is damaged or cut short, or of a kind that is not read"
            ) from error
        foreign = describe_foreign(data)
        if foreign is not None:
            raise BadPicture(f"this is {foreign}; save it as one of {LABELS}") from error
        raise BadPicture(f"this is no picture, or a damaged one; Impasto takes {LABELS}") from error


def _decoded(image: Image.Image, data: bytes, name: str, max_pixels: int) -> DecodedPicture:
    _check_size(image, max_pixels)
    format = BY_PILLOW_NAME[image.format or ""]
    notes = [*_lie(name, format)]
    bits = _bits(image, data)
    if bits > 8:
        notes.append(f"{bits} bits a channel reduced to 8")
    image.load()
    # Of what lies in boxes, the pixels may turn out otherwise than the header said.
    _check_size(image, max_pixels)
    exif, exif_notes = _exif(image, data)
    notes.extend(exif_notes)
    if format.name in _IN_BOXES and "icc_profile" not in image.info and _is_wide(data):
        notes.append("its colours are wider than sRGB, and no profile tells how to convert them: approximate")
    rgb, alpha, colour_notes = to_srgb(image)
    notes.extend(note for note in colour_notes if note not in notes)

    turn = _UPRIGHT.get(_orientation(image))
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    # Last, since counting the frames moves through the file.
    notes.extend(_frames(image, format))
    # What the file said besides pixels, the pixels now obey.
    rgb.info = {}
    if alpha is not None:
        alpha.info = {}
    return DecodedPicture(rgb, alpha, format.name, tuple(notes), exif)


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise BadPicture(
            f"{width} × {height} px are more than the {max_pixels:,} pixels allowed: "
            "make it smaller or raise IMPASTO_MAX_INPUT_PIXELS"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise BadPicture(f"{width} × {height} px are too few: each side needs at least {MIN_SIDE_PX}")


def _lie(name: str, format: PictureFormat) -> tuple[str, ...]:
    promised = format_of_name(name)
    if promised is None or promised is format:
        return ()
    return (f"named as {promised.label}, but it is {format.label}",)


def _bits(image: Image.Image, data: bytes) -> int:
    """How many a channel has in the file, where Pillow itself cuts them to 8 without a word; else 8."""
    if image.format == "PNG":
        return data[24]  # behind the signature, the chunk's head, width and height
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, ())
        return 16 if 16 in (bits if isinstance(bits, tuple) else (bits,)) else 8
    if image.format == "HEIF" and not image.mode.startswith("I"):
        return int(image.info.get("bit_depth", 8))
    if image.format == "AVIF":
        at = data.find(_AV1_CONFIGURATION)
        # The third byte's flags (AV1 in ISOBMFF, 2.3.3): high_bitdepth, twelve_bit.
        flags = data[at + len(_AV1_CONFIGURATION) + 2] if 0 <= at < len(data) - 7 else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return 8


def _is_wide(data: bytes) -> bool:
    """Whether the colours are named (ISO/IEC 23091-2, 8.1 and 8.2) as others than sRGB's or as of a high
    dynamic range.
    """
    at = data.find(_NAMED_COLOURS) + len(_NAMED_COLOURS)
    primaries, transfer = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (0, 2))
    named = _NAMED_COLOURS in data
    return named and (primaries not in _KNOWN_PRIMARIES or transfer in _WIDE_RANGE)


def _exif(image: Image.Image, data: bytes) -> tuple[Exif, tuple[str, ...]]:
    """What a result may keep of it, and a note when it can't be read."""
    source = data if image.format == "TIFF" else image.info.get("exif")
    if not isinstance(source, bytes):
        return Exif(), ()
    try:
        return Exif.parse(source).chosen("all").bounded(), ()
    except Exception:
        # Broken EXIF data are no reason to refuse a picture whose pixels are whole.
        return Exif(), ("its EXIF data are damaged and were left out",)


def _orientation(image: Image.Image) -> int:
    """1 where there is none, none that can be read, or the picture stands upright already."""
    if image.format == "HEIF":
        # Turned by its decoder as its boxes say, which is all that counts (ISO/IEC 23008-12, 6.5.10).
        return 1
    if image.format == "AVIF":
        # Pillow tells by EXIF's orientation what the boxes say. XMP's would be looked at where they say none.
        image.info.pop("xmp", None)
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Broken EXIF data are no reason to refuse a picture whose pixels are whole.
        return 1


def _frames(image: Image.Image, format: PictureFormat) -> tuple[str, ...]:
    if format.name in ("jpeg", "bmp"):
        return ()
    try:
        count = int(getattr(image, "n_frames", 1))
    except Exception:
        return ("animated or of several pages, but damaged behind the first, which is used",)
    if count <= 1:
        return ()
    if format.name == "tiff":
        return (f"several pages: the first of {count} is used",)
    if format.name == "heic":
        return (f"several pictures: the main one of {count} is used",)
    return (f"animated: the first of {count} frames is used",)
