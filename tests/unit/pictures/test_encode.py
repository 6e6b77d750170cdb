from __future__ import annotations

import hashlib
import io
import time
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin

from impasto.shared.errors import BadPicture, BadSettings
from impasto.shared.pictures import FORMATS, Exif, decode, encode, format_of_name, read_embedded
from impasto.shared.pictures.colour import srgb_profile
from impasto.shared.settings import OutputFormat

WRITTEN: tuple[OutputFormat, ...] = get_args(OutputFormat)
METADATA = {"fingerprint": "f" * 64, "settings": "a" * 64, "content": "Zürich ×\n🎨.jpg"}


def painting(width: int = 48, height: int = 32) -> Image.Image:
    """Smooth, with strokes as fine as a pixel on it."""
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(40, 216, (4, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=int)
    return Image.fromarray((smooth + random.integers(-20, 21, smooth.shape)).clip(0, 255).astype(np.uint8))


def difference(left: Image.Image, right: Image.Image) -> float:
    return float(np.abs(np.asarray(left, dtype=int) - np.asarray(right, dtype=int)).mean())


@pytest.mark.parametrize("format", WRITTEN)
def test_a_picture_can_be_decoded_again(format: OutputFormat) -> None:
    encoded = encode(painting(), format=format, metadata=METADATA)
    decoded = decode(encoded.data, name=f"x.{encoded.extension}", max_pixels=10_000)
    assert (decoded.format, decoded.alpha, decoded.notes) == (format, None, ())
    assert (
        difference(decoded.rgb, painting())
        <= {"png": 0, "tiff": 0, "jpeg": 6, "webp": 12, "avif": 12}[format]
    )
    assert encoded.sha256 == hashlib.sha256(encoded.data).hexdigest()
    assert encoded.notes == ()


@pytest.mark.parametrize("format", WRITTEN)
def test_content_type_and_extension_are_those_of_the_format(format: OutputFormat) -> None:
    encoded = encode(painting(), format=format)
    assert encoded.content_type == f"image/{format}"
    assert format_of_name(f"x.{encoded.extension}") is FORMATS[format]


def test_the_same_picture_gives_the_same_bytes_at_any_time() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ann"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2026:05:04 03:02:01"}

    def every_format() -> list[bytes]:
        srgb_profile.cache_clear()
        kept = Exif.parse(exif.tobytes())
        return [
            encode(painting(), format=format, alpha=alpha, metadata=METADATA, exif=kept).data
            for format in WRITTEN
            for alpha in (None, Image.new("L", (48, 32), 99))
        ]

    first = every_format()
    then = int(time.time())
    while int(time.time()) == then:
        # Profiles and tags tell the time by the second.
        time.sleep(0.05)
    assert every_format() == first


@pytest.mark.parametrize("format", WRITTEN)
def test_metadata_can_be_read_back(format: OutputFormat) -> None:
    encoded = encode(painting(), format=format, metadata=METADATA)
    assert read_embedded(encoded.data) == METADATA
    assert read_embedded(encode(painting(), format=format).data) == {}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(WRITTEN),
    st.dictionaries(
        st.text(max_size=10), st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4
    ),
)
def test_any_metadata_can_be_read_back(format: OutputFormat, metadata: dict[str, str]) -> None:
    assert read_embedded(encode(painting(8, 8), format=format, metadata=metadata).data) == metadata


def test_a_strangers_picture_has_no_metadata_of_ours() -> None:
    for options in ({"comment": b"impasto {"}, {"comment": b"impasto []"}, {"comment": b"hello"}, {}):
        buffer = io.BytesIO()
        painting().save(buffer, "jpeg", **options)
        assert read_embedded(buffer.getvalue()) == {}


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_has_no_metadata_to_read(data: bytes) -> None:
    with pytest.raises(BadPicture):
        read_embedded(data)


def test_a_picture_cut_short_has_no_metadata_to_read() -> None:
    data = encode(painting(), format="png", metadata=METADATA).data
    with pytest.raises(BadPicture, match="cut short"):
        read_embedded(data[: len(data) // 2])


@pytest.mark.parametrize("format", WRITTEN)
def test_every_picture_says_that_it_is_srgb(format: OutputFormat) -> None:
    image = Image.open(io.BytesIO(encode(painting(), format=format).data))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert profile.profile.profile_description.startswith("sRGB")


@pytest.mark.parametrize("format", ["png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("size", [(48, 32), (480, 320)])
def test_opacity_is_kept_at_the_pictures_size(format: OutputFormat, size: tuple[int, int]) -> None:
    alpha = Image.linear_gradient("L").resize(size)
    encoded = encode(painting(), format=format, alpha=alpha)
    decoded = decode(encoded.data, name="x", max_pixels=10_000)
    assert encoded.notes == ()
    assert decoded.alpha is not None
    assert difference(decoded.alpha, alpha.resize((48, 32), Image.Resampling.LANCZOS)) <= 1
    assert difference(decoded.rgb, painting()) <= (12 if format in ("webp", "avif") else 0)


def test_jpeg_lies_on_white_where_it_is_transparent_and_says_so() -> None:
    alpha = Image.new("L", (48, 32), 255)
    alpha.paste(0, (0, 0, 24, 32))
    black = Image.new("RGB", (48, 32))
    encoded = encode(black, format="jpeg", quality=100, alpha=alpha)
    decoded = decode(encoded.data, name="x", max_pixels=10_000)
    assert (decoded.rgb.getpixel((5, 5)), decoded.rgb.getpixel((40, 5))) == ((255,) * 3, (0,) * 3)
    assert encoded.notes == ("JPEG knows no transparency: the picture lies on white",)


def test_the_picture_itself_is_left_as_it_was() -> None:
    image, alpha = painting(), Image.new("L", (10, 10), 5)
    for format in WRITTEN:
        encode(image, format=format, alpha=alpha, metadata=METADATA)
    assert image.mode == "RGB"
    assert image.tobytes() == painting().tobytes()
    assert alpha.size == (10, 10)


@pytest.mark.parametrize(("quality", "sampling"), [(89, 2), (90, 0), (100, 0)])
def test_jpeg_keeps_a_colour_for_each_pixel_from_quality_ninety(quality: int, sampling: int) -> None:
    image = Image.open(io.BytesIO(encode(painting(), format="jpeg", quality=quality).data))
    assert JpegImagePlugin.get_sampling(image) == sampling


@pytest.mark.parametrize("format", ["jpeg", "webp", "avif"])
def test_a_higher_quality_takes_more_bytes_and_is_nearer(format: OutputFormat) -> None:
    low, high = (encode(painting(), format=format, quality=quality).data for quality in (30, 95))
    assert len(low) < len(high)
    near, far = (difference(decode(d, name="x", max_pixels=10_000).rgb, painting()) for d in (high, low))
    assert near < far


@pytest.mark.parametrize(("format", "side"), [("webp", 16_384), ("jpeg", 65_501), ("avif", 16_385)])
def test_a_side_longer_than_the_format_holds_is_a_bad_setting(format: OutputFormat, side: int) -> None:
    with pytest.raises(BadSettings, match="png or tiff"):
        encode(Image.new("RGB", (side, 8)), format=format)


def test_more_metadata_than_jpeg_holds_is_a_bad_setting() -> None:
    metadata = {"long": "x" * 70_000}
    with pytest.raises(BadSettings, match="metadata"):
        encode(painting(), format="jpeg", metadata=metadata)
    for format in ("png", "tiff", "webp", "avif"):
        assert read_embedded(encode(painting(), format=format, metadata=metadata).data) == metadata
