"""What a result keeps of its photograph's EXIF data: by default who took it and when, and not where."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from PIL import ExifTags, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from impasto.shared.pictures.pillow import quiet_pillow
from impasto.shared.settings import ExifChoice

LIMIT_BYTES: Final = 60_000
"""Of all that is kept: a JPEG holds little more. What is larger loses maker notes, then all but the safe."""

_READ_LIMIT_BYTES: Final = 1 << 20
"""Of one directory: fractions take some twenty times their bytes once they are read, and long."""

_EXIF_AT: Final = ExifTags.IFD.Exif.value
_GPS_AT: Final = ExifTags.IFD.GPSInfo.value
_DESCRIPTION: Final = ExifTags.Base.ImageDescription.value
_PREFIX: Final = b"Exif\0\0"

_SAFE_MAIN: Final = frozenset(
    (
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
    )
)
_ALL_MAIN: Final = _SAFE_MAIN | {
    _DESCRIPTION,
    ExifTags.Base.DocumentName,
    ExifTags.Base.Software,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
}
"""The rest of a main directory tells how pixels lie in the file, of which nothing is true any more."""

_SAFE_SHOT: Final = frozenset(
    (
        ExifTags.Base.ExifVersion,
        ExifTags.Base.DateTimeOriginal,
        ExifTags.Base.DateTimeDigitized,
        ExifTags.Base.OffsetTime,
        ExifTags.Base.OffsetTimeOriginal,
        ExifTags.Base.OffsetTimeDigitized,
        ExifTags.Base.SubsecTime,
        ExifTags.Base.SubsecTimeOriginal,
        ExifTags.Base.SubsecTimeDigitized,
        ExifTags.Base.ExposureTime,
        ExifTags.Base.FNumber,
        ExifTags.Base.ISOSpeedRatings,
        ExifTags.Base.FocalLength,
        ExifTags.Base.FocalLengthIn35mmFilm,
        ExifTags.Base.LensMake,
        ExifTags.Base.LensModel,
    )
)
_UNTRUE_SHOT: Final = frozenset(
    (
        ExifTags.Base.ExifImageWidth,
        ExifTags.Base.ExifImageHeight,
        ExifTags.Base.ColorSpace,
        ExifTags.IFD.Interop,
    )
)
"""Size and colour space are the result's own; the last points to more of the same."""

Field = tuple[int, Any]
"""A value with its TIFF type, which says how it is written."""


@dataclass(frozen=True)
class Exif:
    """EXIF data by tag: the main directory, that of the shot, and that of the place. Maker notes may be in
    the camera's byte order, so `little_endian` is as it was found.
    """

    main: dict[int, Field] = field(default_factory=dict)
    shot: dict[int, Field] = field(default_factory=dict)
    place: dict[int, Field] = field(default_factory=dict)
    little_endian: bool = True

    def __bool__(self) -> bool:
        return bool(self.main or self.shot or self.place)

    @classmethod
    def parse(cls, data: bytes) -> Exif:
        """From a TIFF structure, with `Exif` before it or without: what there is of a picture's EXIF data, or
        a whole TIFF file. What can't be read of it is left out.

        Raises whatever Pillow stumbles over when it is damaged as a whole.
        """
        while data.startswith(_PREFIX):
            data = data.removeprefix(_PREFIX)
        if not data or b"+" in data[2:4]:
            # Nothing, or a TIFF of the large kind, which no camera writes.
            return cls()
        head, file = data[:8], io.BytesIO(data)
        with quiet_pillow():
            main = _read(head, file, ImageFileDirectory_v2(head).next)
            shot, place = (
                _read(head, file, main[at][1], group=at) if _is_pointer(main.get(at)) else {}
                for at in (_EXIF_AT, _GPS_AT)
            )
        for at in (_EXIF_AT, _GPS_AT):
            main.pop(at, None)
        return cls(main, shot, place, data.startswith(b"II"))

    def to_bytes(self) -> bytes:
        """A TIFF structure, without `Exif` before it; empty for none. The same for equal data."""
        if not self:
            return b""
        head = b"II*\0\x08\0\0\0" if self.little_endian else b"MM\0*\0\0\0\x08"
        # Written twice: how long the main directory is does not depend on where the others lie.
        main = dict(self.main)
        main |= {at: (TiffTags.LONG, 0) for at, fields in self._others() if fields}
        end = len(head) + len(_written(head, main, 8))
        rest = b""
        for at, fields in self._others():
            if fields:
                main[at] = (TiffTags.LONG, end + len(rest))
                rest += _written(head, fields, end + len(rest), group=at)
        return head + _written(head, main, 8) + rest

    def pointing(self) -> ImageFileDirectory_v2:
        """The main directory for a TIFF file, which is to be given to `appended` when it is written."""
        directory = ImageFileDirectory_v2()
        pointers = {at: (TiffTags.LONG, 0) for at, fields in self._others() if fields}
        for tag, (kind, value) in {**self.main, **pointers}.items():
            directory.tagtype[tag] = kind
            directory[tag] = value
        return directory

    def appended(self, tiff: bytes) -> bytes:
        """The TIFF file with the directories that its main one points to: libtiff writes none but that."""
        order = "<" if tiff.startswith(b"II") else ">"
        whole = bytearray(tiff)
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        entries = {
            struct.unpack_from(f"{order}H", tiff, at)[0]: at
            for at in range(start + 2, start + 2 + 12 * count, 12)
        }
        for tag, fields in self._others():
            if fields:
                whole += b"\0" * (len(whole) % 2)
                struct.pack_into(f"{order}L", whole, entries[tag] + 8, len(whole))
                whole += _written(tiff[:8], fields, len(whole), group=tag)
        return bytes(whole)

    def _others(self) -> tuple[tuple[int, dict[int, Field]], ...]:
        """The directories beside the main one, by the tags that point to them."""
        return (_EXIF_AT, self.shot), (_GPS_AT, self.place)

    def described(self, text: str | None) -> Exif:
        """With this image description, which is ASCII, in the place of any other."""
        main = {tag: value for tag, value in self.main.items() if tag != _DESCRIPTION}
        if text is not None:
            main[_DESCRIPTION] = (TiffTags.ASCII, text.encode("ascii"))
        return replace(self, main=main)

    @property
    def description(self) -> str | None:
        """The image description, None where there is none."""
        kind, value = self.main.get(_DESCRIPTION, (TiffTags.ASCII, b""))
        if kind != TiffTags.ASCII or not isinstance(value, bytes):
            return None
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        return text.strip("\0 \t\r\n") or None

    def chosen(self, choice: ExifChoice) -> Exif:
        """What a result keeps: `safe` who took the picture, when and with what; `all` whatever is true of the
        result too; `strip` nothing. A preview, which shows the photograph, is never kept.
        """
        if choice == "strip":
            return Exif()
        if choice == "safe":
            return Exif(_only(self.main, _SAFE_MAIN), _only(self.shot, _SAFE_SHOT), {}, self.little_endian)
        shot = {tag: value for tag, value in self.shot.items() if tag not in _UNTRUE_SHOT}
        return Exif(_only(self.main, _ALL_MAIN), shot, self.place, self.little_endian)

    def bounded(self) -> Exif:
        """What fits into any format."""
        shot = {tag: value for tag, value in self.shot.items() if tag != ExifTags.IFD.MakerNote}
        candidates = (self, replace(self, shot=shot), self.chosen("safe"))
        return next((fits for fits in candidates if len(fits.to_bytes()) <= LIMIT_BYTES), Exif())


def _read(head: bytes, file: io.BytesIO, at: int, group: int | None = None) -> dict[int, Field]:
    directory = ImageFileDirectory_v2(head, group=group)
    file.seek(at)
    directory.load(file)
    fields: dict[int, Field] = {}
    left_bytes = _READ_LIMIT_BYTES
    for tag in directory:
        # So large a field is never kept; the tables of a TIFF file are so large.
        size_bytes = len(directory._tagdata.get(tag, b""))
        if size_bytes > min(LIMIT_BYTES, left_bytes):
            continue
        left_bytes -= size_bytes
        kind = directory.tagtype[tag]
        # One field that makes no sense is no reason to lose the copyright.
        with suppress(Exception):
            value = directory[tag]
            if kind == TiffTags.ASCII:
                # Pillow takes texts for Latin-1 and writes ASCII: as bytes they stay what they are.
                (value,) = value if isinstance(value, tuple) else (value,)
                value = value.encode("latin-1")
            _written(head, {tag: (kind, value)}, 8, group=group)
            fields[tag] = (kind, value)
    return fields


def _written(head: bytes, fields: dict[int, Field], at: int, group: int | None = None) -> bytes:
    directory = ImageFileDirectory_v2(head, group=group)
    for tag, (kind, value) in fields.items():
        directory.tagtype[tag] = kind
        directory[tag] = value
    return directory.tobytes(at)


def _is_pointer(value: Field | None) -> bool:
    return value is not None and isinstance(value[1], int)


def _only(fields: dict[int, Field], tags: frozenset[int]) -> dict[int, Field]:
    return {tag: value for tag, value in fields.items() if tag in tags}
