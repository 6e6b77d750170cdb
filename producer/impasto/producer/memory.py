"""Pictures that are no files: bytes or Pillow images in memory, under the names that outputs call them by."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image

from impasto.shared.errors import BadPicture, BadSettings

_PNG_MODES: Final = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"))
_TIFF_MODES: Final = frozenset(("CMYK", "LAB", "YCbCr", "RGBX", "PA", "I", "F"))
_RAW_PIXEL_BYTES: Final = 4


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory, wherever a file or an address may stand: a content, a style, a mask, a painting.

    `name` is what its outputs are called by, as if it were a file's; an extension may be left out. `picture`
    is a file's bytes, or a Pillow image, which is kept without loss, with its EXIF and its ICC profile.
    Raises BadSettings.
    """

    name: str
    picture: bytes | Image.Image = field(repr=False)

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= 200 and self.name.isprintable() and self.name.strip()):
            raise BadSettings("a picture's name must have 1 to 200 printable characters")
        if not isinstance(self.picture, bytes | Image.Image):
            raise BadSettings(
                f"picture {self.name} is {type(self.picture).__name__}: give bytes or a Pillow image"
            )

    @property
    def size_bytes(self) -> int:
        """For progress: of an image, about what its pixels take."""
        if isinstance(self.picture, bytes):
            return len(self.picture)
        return self.picture.width * self.picture.height * _RAW_PIXEL_BYTES

    @property
    def is_file(self) -> bool:
        """Whether it is a file's bytes, whose name may tell of what kind."""
        return isinstance(self.picture, bytes)

    def to_bytes(self) -> bytes:
        """The bytes, or the image as PNG (as TIFF where PNG has no such pixels). Raises BadPicture."""
        return self.picture if isinstance(self.picture, bytes) else _lossless(self.picture)


def _lossless(image: Image.Image) -> bytes:
    options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    try:
        exif = image.getexif()
        if len(exif):
            options["exif"] = exif
        if image.mode in _PNG_MODES:
            form = "PNG"
            if "transparency" in image.info:
                options["transparency"] = image.info["transparency"]
        elif image.mode in _TIFF_MODES:
            form = "TIFF"
            options["compression"] = "tiff_adobe_deflate"
        else:
            raise BadPicture(f"its mode is {image.mode}: convert it to RGB or RGBA first")
        out = io.BytesIO()
        image.save(out, form, **options)
    except (OSError, ValueError, TypeError, SyntaxError, struct.error) as error:
        raise BadPicture(f"the image can't be kept ({error}): convert it to RGB or RGBA first") from error
    return out.getvalue()
