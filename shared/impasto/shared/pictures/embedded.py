"""What Impasto writes into its pictures, so that a picture alone tells how it was made, and from what."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from impasto.shared.errors import BadPicture
from impasto.shared.pictures.exif import Exif
from impasto.shared.pictures.formats import LABELS, PILLOW_NAMES
from impasto.shared.pictures.pillow import quiet_pillow
from impasto.shared.pictures.xmp import packet

_MARK: Final = "impasto "
"""Before the JSON, where other programs write descriptions too."""

_PNG_KEYWORD: Final = "impasto"
_PNG_XMP: Final = "XML:com.adobe.xmp"
_TIFF_XMP: Final = 700


def with_mark(format: str, exif: Exif, metadata: Mapping[str, str]) -> Exif:
    """The EXIF data of a result: where neither a text chunk nor a comment has them, with `metadata` as the
    image description. That of the photograph is in the XMP packet in every format.
    """
    text = _as_text(metadata)
    return exif.described(text if text and format not in ("png", "jpeg") else None)


def save_options(
    format: str, metadata: Mapping[str, str], exif: Exif, *, description: str | None
) -> dict[str, Any]:
    """What Pillow's `save` needs to write all that into a picture of that format.

    `metadata`: a text chunk of PNG, the comment of JPEG, and elsewhere in `exif`, as `with_mark` gives it.
    `description`: the photograph's, for XMP. The directories of a TIFF file must be appended to it.
    """
    xmp = packet(description)
    text = _as_text(metadata)
    if format == "tiff":
        tags = exif.pointing()
        tags[_TIFF_XMP] = xmp
        return {"tiffinfo": tags}
    options: dict[str, Any] = {"exif": b"Exif\0\0" + exif.to_bytes()} if exif else {}
    if format == "png":
        chunks = PngImagePlugin.PngInfo()
        if text:
            chunks.add_text(_PNG_KEYWORD, text.removeprefix(_MARK))
        chunks.add_itxt(_PNG_XMP, xmp.decode())
        return {"pnginfo": chunks, **options}
    if format == "jpeg" and text:
        options["comment"] = text.encode("ascii")
    return {"xmp": xmp, **options}


def _as_text(metadata: Mapping[str, str]) -> str:
    """ASCII; empty for none."""
    return f"{_MARK}{json.dumps(dict(metadata), sort_keys=True, separators=(',', ':'))}" if metadata else ""


def read_embedded(data: bytes) -> dict[str, str]:
    """The metadata that `encode` wrote into the picture; empty for a picture that is not ours.

    Raises BadPicture for what is no picture of a format that Impasto takes.
    """
    try:
        with quiet_pillow(), Image.open(io.BytesIO(data), formats=PILLOW_NAMES) as image:
            if image.format == "PNG":
                # Text chunks may come behind the pixels.
                image.load()
                found = f"{_MARK}{image.info.get(_PNG_KEYWORD, '')}"
            else:
                found = image.info.get("comment") or image.getexif().get(ExifTags.Base.ImageDescription) or ""
    except UnidentifiedImageError as error:
        raise BadPicture(f"this is no picture; Impasto takes {LABELS}") from error
    except Exception as error:
        raise BadPicture(f"the picture is damaged or cut short ({error})") from error
    text = found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)
    try:
        fields = json.loads(text.removeprefix(_MARK)) if text.startswith(_MARK) else {}
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
