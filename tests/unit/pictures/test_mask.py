from __future__ import annotations

import io

import pytest
from PIL import Image

from impasto.shared.errors import BadPicture
from impasto.shared.pictures import DecodedPicture, as_mask, decode

SIZE = (24, 16)


def decoded(image: Image.Image, format: str = "PNG", **options: object) -> DecodedPicture:
    out = io.BytesIO()
    image.save(out, format, **options)
    return decode(out.getvalue(), name="mask", max_pixels=10_000)


def level(image: Image.Image, **options: object) -> object:
    """The mask's one level."""
    mask = as_mask(decoded(image, **options), name="mask", size=image.size)
    assert (mask.mode, mask.size) == ("L", image.size)
    low, high = mask.getextrema()
    assert low == high
    return low


@pytest.mark.parametrize("grey", [1, 77, 254, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_counts_as_much_as_it_is_light_in_every_mode(grey: int, mode: str) -> None:
    assert level(Image.new("L", SIZE, grey).convert("RGB").convert(mode)) == grey


def test_a_mask_of_one_bit_is_black_or_white() -> None:
    assert level(Image.new("1", SIZE, 1)) == 255


def test_what_is_transparent_counts_as_black() -> None:
    assert level(Image.new("RGBA", SIZE, (255, 255, 255, 100))) == 100
    with pytest.raises(BadPicture, match="black throughout"):
        level(Image.new("RGBA", SIZE, (255, 255, 255, 0)))


def test_a_mask_is_as_upright_as_its_content() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    mask = as_mask(decoded(Image.new("L", SIZE, 255), "JPEG", exif=turned), name="mask", size=SIZE[::-1])
    assert mask.size == SIZE[::-1]


def test_a_mask_that_cannot_be_is_refused_by_name_with_the_mend() -> None:
    with pytest.raises(BadPicture, match=r"^sky\.png: the mask has 24 × 16 px, its content 24 × 17 px: give"):
        as_mask(decoded(Image.new("L", SIZE, 255)), name="sky.png", size=(24, 17))
    with pytest.raises(BadPicture, match=r"^sky\.png: .* black throughout: paint it white"):
        as_mask(decoded(Image.new("L", SIZE, 0)), name="sky.png", size=SIZE)
