"""Bytes that somebody sent, to a picture or a reason why not."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image, UnidentifiedImageError

from impasto.shared.errors import BadPicture
from impasto.shared.pictures.colour import to_srgb
from impasto.shared.pictures.formats import (
    BY_PILLOW_NAME,
    LABELS,
    MIN_SIDE_PX,
    PILLOW_NAMES,
    PictureFormat,
    describe_foreign,
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


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as the engine takes it.

    `rgb`: mode RGB, 8-bit sRGB, upright, without metadata. `alpha`: mode L of the same size, 255 opaque;
    None where all is. `format`: the name in `FORMATS`. `notes`: what a person should know, such as that
    only the first of several frames is used.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    format: str
    notes: tuple[str, ...] = ()

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
        foreign = describe_foreign(data)
        if foreign is not None:
            raise BadPicture(f"this is {foreign}; save it as one of {LABELS}") from error
        raise BadPicture(f"this is no picture, or a damaged one; Impasto takes {LABELS}") from error


def _decoded(image: Image.Image, data: bytes, name: str, max_pixels: int) -> DecodedPicture:
    width, height = image.size
    if width * height > max_pixels:
        raise BadPicture(
            f"{width} × {height} px are more than the {max_pixels:,} pixels allowed: "
            "make it smaller or raise IMPASTO_MAX_INPUT_PIXELS"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise BadPicture(f"{width} × {height} px are too few: each side needs at least {MIN_SIDE_PX}")

    format = BY_PILLOW_NAME[image.format or ""]
    notes = [*_lie(name, format)]
    if _has_sixteen_bits(image, data):
        notes.append("16 bits a channel reduced to 8")
    image.load()
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
    return DecodedPicture(rgb, alpha, format.name, tuple(notes))


def _lie(name: str, format: PictureFormat) -> tuple[str, ...]:
    promised = format_of_name(name)
    if promised is None or promised is format:
        return ()
    return (f"named as {promised.label}, but it is {format.label}",)


def _has_sixteen_bits(image: Image.Image, data: bytes) -> bool:
    """Where Pillow itself cuts 16 bits to 8 without a word."""
    if image.format == "PNG":
        depth_at = 24  # behind the signature, the chunk's head, width and height
        return data[depth_at : depth_at + 1] == b"\x10"
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, ())
        return 16 in (bits if isinstance(bits, tuple) else (bits,))
    return False


def _orientation(image: Image.Image) -> int:
    """1 where there is none, or none that can be read."""
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
    return (f"animated: the first of {count} frames is used",)
