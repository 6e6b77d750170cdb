"""A result to bytes: the same picture and settings give the same bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from PIL import Image

from impasto.shared.errors import BadSettings
from impasto.shared.pictures.colour import srgb_profile
from impasto.shared.pictures.embedded import save_options, with_mark
from impasto.shared.pictures.exif import Exif
from impasto.shared.pictures.formats import FORMATS
from impasto.shared.settings import OutputFormat

_FULL_COLOUR_QUALITY: Final = 90
"""From here on JPEG and AVIF keep a colour for each pixel; halved colours blur thin strokes."""

_PREDICTOR_TAG: Final = 317
_COMMENT_LIMIT_BYTES: Final = 65_000


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as a file. `extension` has no dot; `notes` says what the format could not keep."""

    data: bytes
    content_type: str
    extension: str
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Of the data, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def encode(
    image: Image.Image,
    *,
    format: OutputFormat,
    quality: int = 95,
    alpha: Image.Image | None = None,
    metadata: Mapping[str, str] | None = None,
    exif: Exif | None = None,
) -> EncodedPicture:
    """The picture as a file, with an sRGB profile, `metadata` (read back by `read_embedded`), `exif` and
    IPTC's digital source type in it.

    `image`: mode RGB. `alpha`: mode L, 255 opaque, resized to the image; JPEG knows no transparency and
    gets it over white. `quality`: 1 to 100, of JPEG, WebP and AVIF. `exif`: what is kept of the photograph's.
    Raises BadSettings when the format can't hold a picture so large or so much metadata.
    """
    chosen = FORMATS[format]
    if chosen.max_side_px is not None and max(image.size) > chosen.max_side_px:
        raise BadSettings(
            f"format: {chosen.label} holds at most {chosen.max_side_px:,} px a side, "
            f"not {image.width:,} × {image.height:,}: choose png or tiff"
        )
    notes: tuple[str, ...] = ()
    if alpha is not None:
        if alpha.size != image.size:
            alpha = alpha.resize(image.size, Image.Resampling.LANCZOS)
        if format == "jpeg":
            white = Image.new("RGB", image.size, (255, 255, 255))
            image = Image.composite(image, white, alpha)
            notes = ("JPEG knows no transparency: the picture lies on white",)
        else:
            image = image.copy()
            image.putalpha(alpha)
    kept = exif or Exif()
    marked = with_mark(format, kept, metadata or {})
    embedded = save_options(format, metadata or {}, marked, description=kept.description)
    if len(embedded.get("comment", b"")) > _COMMENT_LIMIT_BYTES:
        raise BadSettings("format: JPEG can't hold so much metadata: choose png")
    buffer = io.BytesIO()
    image.save(buffer, format.upper(), icc_profile=srgb_profile(), **_options(format, quality, embedded))
    data = buffer.getvalue() if format != "tiff" else marked.appended(buffer.getvalue())
    return EncodedPicture(data, chosen.content_type, chosen.extension, notes)


def _options(format: OutputFormat, quality: int, embedded: dict[str, Any]) -> dict[str, Any]:
    subsampling = "4:4:4" if quality >= _FULL_COLOUR_QUALITY else "4:2:0"
    if format == "jpeg":
        return {"quality": quality, "subsampling": subsampling, **embedded}
    if format == "avif":
        # How many threads there are must not decide into how many tiles the picture is cut.
        steady = {"max_threads": 1, "autotiling": False}
        return {"quality": quality, "subsampling": subsampling, **steady, **embedded}
    if format == "webp":
        # Without `exact` the colours below transparent pixels would be thrown away.
        return {"quality": quality, "exact": True, **embedded}
    if format == "tiff":
        embedded["tiffinfo"][_PREDICTOR_TAG] = 2
        return {"compression": "tiff_adobe_deflate", **embedded}
    return embedded
