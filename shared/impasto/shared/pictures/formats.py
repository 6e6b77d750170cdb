"""Which formats Impasto takes, and what others look like, so that a refusal can name them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

MIN_SIDE_PX: Final = 8
"""The least a side may have: below it the network's deeper layers have nothing to see."""


@dataclass(frozen=True)
class PictureFormat:
    """A format by its name in settings, with the extensions it goes by; the first is the one we write."""

    name: str
    label: str
    content_type: str
    extensions: tuple[str, ...]
    max_side_px: int | None = None
    called_by_pillow: str | None = None

    @property
    def pillow_name(self) -> str:
        """What Pillow calls it."""
        return self.called_by_pillow or self.name.upper()

    @property
    def extension(self) -> str:
        """Without a dot."""
        return self.extensions[0]


FORMATS: Final[dict[str, PictureFormat]] = {
    format.name: format
    for format in (
        PictureFormat("png", "PNG", "image/png", ("png", "apng")),
        PictureFormat("jpeg", "JPEG", "image/jpeg", ("jpg", "jpeg", "jpe", "jfif", "mpo"), 65_500),
        PictureFormat("webp", "WebP", "image/webp", ("webp",), 16_383),
        PictureFormat("tiff", "TIFF", "image/tiff", ("tif", "tiff")),
        PictureFormat("gif", "GIF", "image/gif", ("gif",)),
        PictureFormat("bmp", "BMP", "image/bmp", ("bmp", "dib")),
        # As long as libavif, which has a bound for the whole picture too, reads again.
        PictureFormat("avif", "AVIF", "image/avif", ("avif", "avifs"), 16_384),
        PictureFormat(
            "heic",
            "HEIC",
            "image/heic",
            ("heic", "heif", "hif", "heics", "heifs"),
            called_by_pillow="HEIF",
        ),
    )
}
"""The allow-list, by name. All are read; PNG, JPEG, WebP, TIFF and AVIF are written."""

PILLOW_NAMES: Final = tuple(format.pillow_name for format in FORMATS.values())
"""What Pillow may try to open bytes as, in that order: what only says that it is of HEIC's and AVIF's family
is first looked at as AVIF.
"""

BY_PILLOW_NAME: Final = {format.pillow_name: format for format in FORMATS.values()} | {
    # A camera's JPEG with a second view or a preview behind the picture: opened as JPEG, then renamed so.
    "MPO": FORMATS["jpeg"]
}

LABELS: Final = ", ".join(format.label for format in FORMATS.values())
"""For messages."""

_SIGNATURES: Final = (
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"v/1\x01", "an OpenEXR file"),
    (0, b"#?RADIANCE", "a Radiance file"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (4, b"ftypcrx", "a camera's raw file"),
    (4, b"ftyp", "a film"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)

_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), FORMATS["avif"]),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), FORMATS["heic"]),
    **dict.fromkeys((b"hevm", b"hevs", b"mif1", b"msf1"), FORMATS["heic"]),
}
"""What a file in boxes says that it is, behind `ftyp` (ISO/IEC 23008-12, 10; AV1 Image File Format, 6)."""


def format_of_name(name: str) -> PictureFormat | None:
    """What the name's extension promises; None when it is of no format that Impasto takes."""
    extension = PurePosixPath(name.replace("\\", "/")).suffix.removeprefix(".").lower()
    return next((format for format in FORMATS.values() if extension in format.extensions), None)


def format_of_boxes(data: bytes) -> PictureFormat | None:
    """AVIF or HEIC, when the bytes begin as one; whether they can be decoded is another matter."""
    return _BRANDS.get(data[8:12]) if data[4:8] == b"ftyp" else None


def describe_foreign(data: bytes) -> str | None:
    """What the bytes look like when they are none of ours: `a PDF`; None when like nothing known."""
    for offset, signature, label in _SIGNATURES:
        if data.startswith(signature, offset):
            return label
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<?xml", b"<svg")) and b"<svg" in start:
        return "an SVG"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return None
