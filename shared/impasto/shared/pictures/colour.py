"""Every kind of pixels Pillow knows, to 8-bit sRGB and a mask of opacity kept apart."""

from __future__ import annotations

import io
from functools import cache
from typing import Final, cast

from PIL import Image, ImageCms

from impasto.shared.errors import BadPicture

_SRGB_NAMES: Final = frozenset({"sRGB", "sRGB built-in", "sRGB IEC61966-2.1"})
_CREATED: Final = slice(24, 36)
"""Where a profile's header has its time of creation (ICC.1:2022, table 17)."""


@cache
def srgb_profile() -> bytes:
    """The sRGB profile that goes into every picture we write; the same bytes at any time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_CREATED] = bytes.fromhex("07e8 0001 0001 0000 0000 0000")
    return bytes(profile)


def to_srgb(image: Image.Image) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """Colours as 8-bit sRGB, opacity as 8 bits or None where all is opaque, and what a person should know.

    The image must be loaded. Colours below full transparency are kept as they are in the file.
    """
    notes: list[str] = []
    image = _to_eight_bits(image, notes)
    profile = image.info.get("icc_profile")
    image, alpha = _split_alpha(image)
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    rgb = _managed(image, profile, notes) if profile else None
    if rgb is None:
        if image.mode == "CMYK":
            notes.append("CMYK without a profile: colours are approximate")
        rgb = image.convert("RGB")
    return rgb, alpha, tuple(notes)


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Pillow clips deeper greys where it should scale them."""
    if image.mode == "F":
        raise BadPicture("its pixels are floating-point numbers: save it with 8 or 16 bits a channel")
    if not image.mode.startswith("I"):
        return image
    wide = image.convert("I")
    low, high = cast(tuple[int, int], wide.getextrema())
    if low < 0 or high > 65535:
        raise BadPicture("it has 32 bits a channel: save it with 8 or 16")
    notes.append("16 bits a channel reduced to 8")
    # The half rounds, as Pillow cuts off fractions here.
    narrow = wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    narrow.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return narrow


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if image.mode in ("La", "RGBa", "PA") or "transparency" in image.info:
        whole = image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if image.mode in ("P", "1", "RGBX"):
        return image.convert("L" if image.mode == "1" else "RGB"), None
    return image, None


def _managed(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """The colours through the embedded profile; None where it does not fit them."""
    if profile == srgb_profile():
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and source.profile.profile_description in _SRGB_NAMES:
            return None
        if space == "GRAY" and image.mode == "RGB":
            # Grey with a transparent value comes here as RGB.
            image = image.convert("L")
        fitting = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space)
        if image.mode != fitting:
            notes.append(f"the embedded colour profile is for {space} and was ignored")
            return None
        managed = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("the embedded colour profile is damaged and was ignored")
        return None
    notes.append("colours converted from the embedded profile to sRGB")
    return managed
