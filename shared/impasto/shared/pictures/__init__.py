"""Pictures from bytes and back: hostile until decoded, one colour space, deterministic when encoded."""

from impasto.shared.pictures.decode import DecodedPicture, decode
from impasto.shared.pictures.embedded import read_embedded
from impasto.shared.pictures.encode import EncodedPicture, encode
from impasto.shared.pictures.exif import Exif
from impasto.shared.pictures.formats import FORMATS, MIN_SIDE_PX, PictureFormat, format_of_name
from impasto.shared.pictures.mask import as_mask

__all__ = [
    "FORMATS",
    "MIN_SIDE_PX",
    "DecodedPicture",
    "EncodedPicture",
    "Exif",
    "PictureFormat",
    "as_mask",
    "decode",
    "encode",
    "format_of_name",
    "read_embedded",
]
