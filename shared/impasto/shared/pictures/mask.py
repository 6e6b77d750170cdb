"""A picture as a mask: where the style applies, and where the photograph stays."""

from __future__ import annotations

from PIL import Image, ImageChops

from impasto.shared.errors import BadPicture
from impasto.shared.pictures.decode import DecodedPicture
from impasto.shared.printable import printable


def as_mask(picture: DecodedPicture, *, name: str, size: tuple[int, int]) -> Image.Image:
    """Mode L, 255 where the style applies and 0 where the photograph stays: the picture's lightness, and
    nothing where it is transparent.

    `size` is the content's (width, height) in px, upright. Raises BadPicture, one line that starts with
    `name`, for a mask of another size, or one that leaves nothing to style.
    """
    if (picture.width, picture.height) != size:
        raise BadPicture(
            f"{printable(name)}: the mask has {picture.width} × {picture.height} px, its content "
            f"{size[0]} × {size[1]} px: give the mask the content's size"
        )
    mask = picture.rgb.convert("L")
    if picture.alpha is not None:
        mask = ImageChops.multiply(mask, picture.alpha)
    if mask.getbbox() is None:
        raise BadPicture(
            f"{printable(name)}: the mask is black throughout: paint it white where the style applies"
        )
    return mask
