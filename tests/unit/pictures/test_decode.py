from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from impasto.shared.errors import BadPicture
from impasto.shared.pictures import FORMATS, MIN_SIDE_PX, DecodedPicture, decode

WIDTH, HEIGHT = 24, 16
PIXELS = WIDTH * HEIGHT


def gradient(mode: str = "RGB") -> Image.Image:
    """Every corner and channel differs, so that no turn or swap goes unnoticed."""
    x, y = np.meshgrid(np.linspace(20, 220, WIDTH), np.linspace(10, 250, HEIGHT))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], 2).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, FORMATS[format].pillow_name if format in FORMATS else format, **options)
    return buffer.getvalue()


def opened(data: bytes, name: str = "picture", max_pixels: int = PIXELS) -> DecodedPicture:
    return decode(data, name=name, max_pixels=max_pixels)


def same(left: Image.Image, right: Image.Image) -> bool:
    return left.mode == right.mode and left.size == right.size and left.tobytes() == right.tobytes()


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    """A PNG as Pillow doesn't write it: PNG specification, 5.2 and 11.2."""
    row_bytes = len(pixels) // height
    rows = b"".join(b"\0" + pixels[y * row_bytes :][:row_bytes] for y in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("format", ["png", "tiff", "bmp", "webp"])
def test_what_is_kept_without_loss_is_decoded_without_loss(format: str) -> None:
    options = {"lossless": True} if format == "webp" else {}
    picture = opened(saved(gradient(), format, **options))
    assert same(picture.rgb, gradient())
    assert (picture.width, picture.height, picture.format) == (WIDTH, HEIGHT, format)
    assert (picture.alpha, picture.notes) == (None, ())


@pytest.mark.parametrize("format", ["jpeg", "gif", "avif", "heic"])
def test_what_is_kept_with_loss_is_decoded_nearly(format: str) -> None:
    picture = opened(saved(gradient(), format))
    difference = np.abs(np.asarray(picture.rgb, dtype=int) - np.asarray(gradient(), dtype=int))
    assert (picture.rgb.mode, picture.format, picture.notes) == ("RGB", format, ())
    assert difference.mean() < 6


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_picture_cut_short_is_refused_by_name(format: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))
    data = saved(noise, format)
    with pytest.raises(BadPicture, match=r"^cut\.img: .*(cut short|damaged)"):
        opened(data[: int(len(data) * part)], "cut.img", 96 * 128)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am text", "no picture"),
        (b"\0" * 1000, "no picture"),
        (b"\xff\xd8\xff", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "no picture"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC is damaged"),
        (b"\x00\x00\x00\x18ftypavif\x00\x00", "AVIF is damaged"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00", "a film"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00", "a camera's raw file"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''/>", "an SVG"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
def test_what_is_no_picture_of_ours_is_refused_with_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(BadPicture, match=rf"^cat\.png: .*{reason}"):
        opened(data, "cat.png")


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "PCX", "EPS", "JPEG2000", "DDS"])
def test_a_format_outside_the_list_is_refused_though_pillow_reads_it(format: str) -> None:
    with pytest.raises(BadPicture, match=r"PNG, JPEG, WebP, TIFF"):
        opened(saved(gradient(), format), "cat.png")


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff", "gif", "avif", "heic"])
def test_too_many_pixels_are_refused_and_just_enough_are_not(format: str) -> None:
    data = saved(gradient(), format)
    assert opened(data, max_pixels=PIXELS).width == WIDTH
    with pytest.raises(BadPicture, match=r"24 × 16 px.*383.*IMPASTO_MAX_INPUT_PIXELS"):
        opened(data, max_pixels=PIXELS - 1)


def test_a_decompression_bomb_is_refused_from_its_header() -> None:
    # 2 GB of pixels in 4 KB of file, and a body that would fail if anybody began to decode it.
    bomb = png(30_000, 25_000, 8, 2, b"")
    with pytest.raises(BadPicture, match=r"30000 × 25000 px are more than the 120,000,000"):
        opened(bomb, max_pixels=120_000_000)


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_the_size_of_a_phones_picture_is_judged_before_anybody_decodes_it(format: str) -> None:
    data = saved(gradient(), format)
    # What the pixels are decoded from comes last, and is none any more.
    spoilt = data[:-60] + b"\xff" * 60
    with pytest.raises(BadPicture, match="383 pixels allowed"):
        opened(spoilt, max_pixels=PIXELS - 1)


@pytest.mark.parametrize(("flags", "bits"), [(0x40, 10), (0x60, 12)])
def test_more_than_eight_bits_of_an_avif_are_noted(flags: int, bits: int) -> None:
    # Nothing here writes such a file, but its header alone says how many bits there are.
    data = bytearray(saved(gradient(), "avif"))
    data[data.index(b"av1C") + 6] |= flags
    channels = data.index(b"pixi") + 9
    data[channels : channels + 3] = bytes([bits]) * 3
    assert opened(bytes(data)).notes == (f"{bits} bits a channel reduced to 8",)


def test_our_own_bound_takes_the_place_of_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert opened(saved(gradient(), "png")).width == WIDTH
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (MIN_SIDE_PX - 1, 40)])
def test_a_side_too_short_is_refused_and_the_shortest_is_not(size: tuple[int, int]) -> None:
    with pytest.raises(BadPicture, match=f"{size[0]} × {size[1]} px are too few.*{MIN_SIDE_PX}"):
        opened(saved(Image.new("RGB", size), "png"))
    assert opened(saved(Image.new("RGB", (MIN_SIDE_PX, MIN_SIDE_PX)), "png")).width == MIN_SIDE_PX


@pytest.mark.parametrize("name", ["a\nb.png", "a\r\n\x1b[31mb.png", "a\u2028b.png", "\udcff.png"])
def test_a_message_is_one_line_whatever_the_name(name: str) -> None:
    with pytest.raises(BadPicture) as caught:
        opened(b"", name)
    assert str(caught.value).isprintable()
    assert "empty" in str(caught.value)


@pytest.mark.parametrize(
    ("format", "name", "note"),
    [
        ("jpeg", "cat.png", ("named as PNG, but it is JPEG",)),
        ("png", "cat.JPG", ("named as JPEG, but it is PNG",)),
        ("jpeg", "cat.jpeg", ()),
        ("jpeg", "cat", ()),
        ("heic", "IMG_1.JPG", ("named as JPEG, but it is HEIC",)),
        ("jpeg", "IMG_1.HEIC", ("named as HEIC, but it is JPEG",)),
        ("avif", "IMG_1.heic", ("named as HEIC, but it is AVIF",)),
        ("heic", "IMG_1.HIF", ()),
        ("jpeg", "cat.xyz", ()),
    ],
)
def test_an_extension_that_lies_is_noted_and_the_content_decides(
    format: str, name: str, note: tuple[str, ...]
) -> None:
    picture = opened(saved(gradient(), format), name)
    assert (picture.format, picture.notes) == (format, note)


EXACT: dict[str, dict[str, Any]] = {
    "webp": {"lossless": True},
    "jpeg": {"quality": 100, "subsampling": 0},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
    "heic": {"quality": -1, "chroma": 444},
}


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "tiff", "avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_whatever_its_orientation(orientation: int, format: str) -> None:
    # Row 0 and column 0 as EXIF 2.32 names them, undone by hand: (transpose, flip x, flip y).
    undo = {
        1: (False, False, False),
        2: (False, True, False),
        3: (False, True, True),
        4: (False, False, True),
        5: (True, False, False),
        6: (True, True, False),
        7: (True, True, True),
        8: (True, False, True),
    }
    transpose, flip_x, flip_y = undo[orientation]
    pixels = np.asarray(gradient())
    upright = pixels.swapaxes(0, 1) if transpose else pixels
    upright = upright[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = opened(saved(gradient(), format, exif=exif.tobytes(), **EXACT.get(format, {})))
    assert (picture.height, picture.width) == upright.shape[:2]
    assert np.abs(np.asarray(picture.rgb, dtype=int) - upright).max() <= 6
    assert not picture.rgb.getexif()
    assert picture.rgb.info == {}


def test_a_heic_is_turned_by_its_boxes_alone_whatever_its_exif_data_say() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    # Given so, the orientation is written into the EXIF data and not into a box.
    data = saved(gradient(), "heic", exif=exif, **EXACT["heic"])
    assert pillow_heif.open_heif(data).to_pillow().info["original_orientation"] == 6
    assert opened(data).rgb.size == (WIDTH, HEIGHT)


def test_an_avif_is_turned_by_its_boxes_alone_whatever_its_xmp_says() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    assert opened(saved(gradient(), "avif", xmp=xmp)).rgb.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_of_a_heic_of_several_pictures_the_main_one_is_used(primary: int) -> None:
    colours = ("#f00", "#0f0", "#00f")
    pictures = [Image.new("RGB", (16 + 4 * i, 16), colour) for i, colour in enumerate(colours)]
    picture = opened(
        saved(pictures[0], "heic", save_all=True, append_images=pictures[1:], primary_index=primary)
    )
    assert picture.rgb.size == pictures[primary].size
    assert np.asarray(picture.rgb)[8, 8].argmax() == primary
    assert picture.notes == ("several pictures: the main one of 3 is used",)


@pytest.mark.parametrize("mode", ["RGB;16", "RGBA;16", "L;16"])
def test_ten_bits_of_a_heic_are_reduced_and_noted(mode: str) -> None:
    channels = len(mode) - 3
    values = np.linspace(0, 65535, WIDTH).round().astype("<u2")
    pixels = np.broadcast_to(values[None, :, None], (HEIGHT, WIDTH, channels))
    buffer = io.BytesIO()
    image = pillow_heif.from_bytes(mode=mode, size=(WIDTH, HEIGHT), data=pixels.tobytes())
    image.save(buffer, quality=-1, chroma=444)
    picture = opened(buffer.getvalue())
    assert np.abs(np.asarray(picture.rgb, dtype=int)[..., 0] - np.linspace(0, 255, WIDTH)).max() <= 2
    assert (picture.alpha is not None) == (channels == 4)
    assert picture.notes in (("10 bits a channel reduced to 8",), ("16 bits a channel reduced to 8",))


@pytest.mark.parametrize("format", ["avif", "heic"])
def test_opacity_of_a_phones_formats_is_kept_apart_from_the_colours(format: str) -> None:
    image = gradient("RGBA")
    alpha = gradient().getchannel("G")
    image.putalpha(alpha)
    picture = opened(saved(image, format, **EXACT[format]))
    assert picture.alpha is not None
    assert np.abs(np.asarray(picture.alpha, dtype=int) - np.asarray(alpha, dtype=int)).max() <= 6
    assert np.abs(np.asarray(picture.rgb, dtype=int) - np.asarray(gradient(), dtype=int)).max() <= 6


def test_a_heic_of_wide_colours_without_a_profile_says_that_they_are_approximate() -> None:
    display_p3 = {"color_primaries": 12, "transfer_characteristics": 13}
    named = {**display_p3, "matrix_coefficients": 6, "full_range_flag": 1}
    (note,) = opened(saved(gradient(), "heic", **named)).notes
    assert "wider than sRGB" in note


def test_opacity_is_turned_along_with_the_colours() -> None:
    image = gradient("RGBA")
    image.putalpha(gradient().getchannel("R"))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = opened(saved(image, "png", exif=exif))
    assert picture.alpha is not None
    assert same(picture.alpha, picture.rgb.getchannel("R"))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_data_cost_the_orientation_only(exif: bytes) -> None:
    assert opened(saved(gradient(), "jpeg", exif=exif)).width == WIDTH


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opacity_is_kept_apart_from_the_colours(mode: str) -> None:
    image = gradient(mode)
    alpha = gradient().getchannel("G")
    image.putalpha(alpha)
    picture = opened(saved(image, "png"))
    assert picture.alpha is not None
    assert same(picture.alpha, alpha)
    assert same(picture.rgb, gradient("L").convert("RGB") if mode == "LA" else gradient())


def test_a_picture_that_is_opaque_all_over_has_no_alpha() -> None:
    assert opened(saved(gradient("RGBA"), "png")).alpha is None


@pytest.mark.parametrize(("format", "as_bytes"), [("png", False), ("png", True), ("gif", False)])
def test_a_palette_with_a_transparent_entry_has_alpha(format: str, as_bytes: bool) -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 8, 16))
    picture = opened(saved(image, format, transparency=b"\x40\xff" if as_bytes else 0))
    assert picture.alpha is not None
    assert picture.alpha.getpixel((12, 3)) == (0x40 if as_bytes else 0)
    assert picture.alpha.getpixel((3, 3)) == 255
    assert picture.rgb.getpixel((3, 3)) == (0, 255, 0)


def test_a_grey_value_that_is_transparent_gives_alpha() -> None:
    image = Image.new("L", (16, 16), 7)
    image.paste(200, (0, 0, 8, 16))
    picture = opened(saved(image, "png", transparency=7))
    assert picture.alpha is not None
    assert (picture.alpha.getpixel((12, 3)), picture.alpha.getpixel((3, 3))) == (0, 255)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_bilevel_and_palette_become_rgb(mode: str) -> None:
    picture = opened(saved(gradient(mode), "png"))
    assert same(picture.rgb, gradient(mode).convert("RGB"))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_greys_are_scaled_and_not_clipped(format: str) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    picture = opened(saved(Image.fromarray(values), format))
    assert np.array_equal(np.asarray(picture.rgb)[..., 0].ravel(), np.arange(256))
    assert picture.notes == ("16 bits a channel reduced to 8",)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colours_are_reduced_and_noted(colour: int, channels: int) -> None:
    eight = np.random.default_rng(1).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    sixteen = eight.astype(">u2") * 257
    picture = opened(png(16, 16, 16, colour, sixteen.tobytes()))
    assert np.array_equal(np.asarray(picture.rgb)[..., 0], eight[..., 0])
    assert (picture.alpha is not None) == (channels in (2, 4))
    assert picture.notes == ("16 bits a channel reduced to 8",)


def test_pixels_that_are_floating_point_numbers_are_refused() -> None:
    with pytest.raises(BadPicture, match="floating-point"):
        opened(saved(Image.new("F", (16, 16)), "tiff"))


def test_cmyk_becomes_rgb_and_says_so() -> None:
    picture = opened(saved(gradient("CMYK"), "jpeg", quality=100))
    assert np.abs(np.asarray(picture.rgb, dtype=int) - np.asarray(gradient(), dtype=int)).mean() < 6
    assert picture.notes == ("CMYK without a profile: colours are approximate",)


def test_an_embedded_profile_is_obeyed() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = ImageCms.profileToProfile(
        gradient(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert image is not None
    picture = opened(saved(image, "tiff", icc_profile=lab))
    assert np.abs(np.asarray(picture.rgb, dtype=int) - np.asarray(gradient(), dtype=int)).mean() < 2
    assert picture.notes == ("colours converted from the embedded profile to sRGB",)


def _swapped() -> bytes:
    """sRGB with the primaries of red and blue exchanged: ICC.1:2022, 7.3, tags rXYZ and bXYZ."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for i in range(struct.unpack_from(">I", profile, 128)[0]):
        entry = 132 + 12 * i
        swap = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
        tag = bytes(profile[entry : entry + 4])
        profile[entry : entry + 4] = swap.get(tag, tag)
    return bytes(profile).replace("sRGB built-in".encode("utf-16-be"), "swapped RGB  ".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["png", "tiff", "avif", "heic"])
def test_a_profile_with_red_and_blue_exchanged_exchanges_them(mode: str, format: str) -> None:
    image = Image.new("RGB", (16, 16), (250, 120, 10))
    image.paste((200, 200, 200), (0, 0, 8, 16))
    picture = opened(saved(image.convert(mode), format, icc_profile=_swapped(), **EXACT.get(format, {})))
    exchanged = np.asarray(picture.rgb, dtype=int)
    found = np.asarray(image.convert(mode).convert("RGB"), dtype=int)[..., ::-1]
    assert np.abs(exchanged - found).max() <= 3
    assert picture.notes == ("colours converted from the embedded profile to sRGB",)


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = opened(saved(gradient(), "png", icc_profile=profile))
    assert same(picture.rgb, gradient())
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("profile", "note"),
    [
        (b"nonsense", "the embedded colour profile is damaged and was ignored"),
        (
            ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
            "the embedded colour profile is for Lab and was ignored",
        ),
    ],
)
def test_a_profile_that_does_not_fit_is_ignored_and_noted(profile: bytes, note: str) -> None:
    picture = opened(saved(gradient(), "png", icc_profile=profile))
    assert same(picture.rgb, gradient())
    assert picture.notes == (note,)


@pytest.mark.parametrize(
    ("format", "note"),
    [
        ("gif", "animated: the first of 3 frames is used"),
        ("webp", "animated: the first of 3 frames is used"),
        ("png", "animated: the first of 3 frames is used"),
        ("tiff", "several pages: the first of 3 is used"),
    ],
)
def test_of_several_frames_the_first_is_used_and_noted(format: str, note: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("#f00", "#0f0", "#00f")]
    options = {"lossless": True} if format == "webp" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    picture = opened(data)
    assert picture.rgb.getpixel((5, 5)) == (255, 0, 0)
    assert picture.notes == (note,)


def test_a_cameras_two_views_are_a_jpeg() -> None:
    data = saved(gradient(), "MPO", save_all=True, append_images=[gradient()])
    picture = opened(data, "cat.jpg")
    assert (picture.format, picture.notes) == ("jpeg", ())


_SEEDS = tuple(
    saved(gradient("RGBA" if format in ("png", "webp", "tiff", "avif", "heic") else "RGB"), format, **options)
    for format, options in (
        *((name, {}) for name in FORMATS),
        ("tiff", {"compression": "tiff_lzw"}),
        ("gif", {"save_all": True, "append_images": [gradient().rotate(90)]}),
        ("jpeg", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
    )
)


@settings(max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(_SEEDS),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=3)), max_size=5
    ),
    keep=st.floats(0.02, 1),
)
def test_whatever_the_bytes_the_answer_is_a_picture_or_bad_picture(
    seed: bytes, changes: list[tuple[float, bytes]], keep: float
) -> None:
    data = bytearray(seed)
    for place, change in changes:
        at = int(place * len(data))
        data[at : at + len(change)] = change
    try:
        picture = opened(bytes(data[: int(len(data) * keep)]), "hostile.png", 10_000)
    except BadPicture as error:
        message = str(error)
    else:
        message = "hostile.png: a picture"
        assert (picture.rgb.mode, picture.rgb.size) == ("RGB", (picture.width, picture.height))
        assert picture.alpha is None or (picture.alpha.mode, picture.alpha.size) == ("L", picture.rgb.size)
    assert message.startswith("hostile.png: ")
    assert message.isprintable()


def test_threads_decode_at_once_and_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(opened, _SEEDS * 20))
    assert len(pictures) == len(_SEEDS) * 20
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)
