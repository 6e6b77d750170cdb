"""What Impasto writes into its pictures, so that a picture alone tells how it was made."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from impasto.shared.errors import BadPicture
from impasto.shared.pictures.formats import LABELS, PILLOW_NAMES
from impasto.shared.pictures.pillow import quiet_pillow

_MARK: Final = "impasto "
"""Before the JSON, where other programs write descriptions too."""

_PNG_KEYWORD: Final = "impasto"


def save_options(format: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What Pillow's `save` needs to write `metadata` into a picture of that format; nothing for none.

    PNG: a text chunk. JPEG: the comment. WebP and TIFF: the image description of EXIF and of TIFF.
    """
    if not metadata:
        return {}
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"))
    if format == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text(_PNG_KEYWORD, text)
        return {"pnginfo": chunks}
    if format == "jpeg":
        return {"comment": f"{_MARK}{text}".encode("ascii")}
    if format == "webp":
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = f"{_MARK}{text}"
        return {"exif": exif.tobytes()}
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ExifTags.Base.ImageDescription] = f"{_MARK}{text}"
    return {"tiffinfo": tags}


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
