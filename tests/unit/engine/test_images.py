from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.shared.errors import BadPicture
from impasto.worker.engine.images import (
    check_picture,
    frame_margin,
    framed,
    noise,
    picture_digest,
    rescaled,
    shrunk,
    to_picture,
    to_tensor,
    unframed,
)

CPU = torch.device("cpu")


def test_a_picture_survives_the_way_to_a_tensor_and_back(look: Image.Image) -> None:
    pixels = to_tensor(look, CPU)
    assert pixels.shape == (1, 3, look.height, look.width)
    assert (pixels.dtype, float(pixels.min()) >= 0, float(pixels.max()) <= 1) == (torch.float32, True, True)
    assert to_picture(pixels).tobytes() == look.tobytes()


def test_levels_are_rounded_and_not_cut_off() -> None:
    levels = torch.tensor([0.0, 0.4, 0.6, 99.4, 99.6, 254.6, 255.0]) / 255
    found = np.asarray(to_picture(levels.view(1, 1, 1, 7).expand(1, 3, 1, 7)))
    assert found[0, :, 0].tolist() == [0, 0, 1, 99, 100, 255, 255]


def test_shrinking_keeps_the_aspect_and_never_enlarges(scene: Image.Image) -> None:
    assert shrunk(scene, 28).size == (28, 20)
    assert shrunk(scene, 500) is scene


def test_a_rescaled_picture_stays_in_its_bounds() -> None:
    found = rescaled(torch.rand(1, 3, 6, 9).round(), (20, 13))
    assert found.shape == (1, 3, 13, 20)
    assert (float(found.min()), float(found.max())) == (0, 1)


def test_a_frame_of_zeros_is_left_to_the_convolutions() -> None:
    pixels = torch.rand(1, 3, 5, 6)
    assert framed(pixels, "zeros") is pixels


@pytest.mark.parametrize(("height", "width"), [(20, 30), (1, 9), (4, 2)])
def test_a_picture_is_framed_by_its_own_mirror_image(height: int, width: int) -> None:
    pixels = torch.rand(1, 3, height, width)
    found = framed(pixels, "reflect")
    down, across = (found.shape[2] - height) // 2, (found.shape[3] - width) // 2
    assert (down, across) == (min(8, height - 1), min(8, width - 1))
    assert torch.equal(found[:, :, down : down + height, across : across + width], pixels)
    if down and across:
        assert torch.equal(found[:, :, down - 1, across:-across], pixels[:, :, 1])
        assert torch.equal(found[:, :, down:-down, across - 1], pixels[:, :, :, 1])


@pytest.mark.parametrize(("height", "width"), [(20, 30), (3, 9), (1, 12), (2, 2)])
def test_the_way_back_from_the_frame_is_its_derivative(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(2)
    pixels = torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64).requires_grad_()
    seen = framed(pixels, "reflect")
    slope = torch.rand(seen.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(seen, pixels, slope)
    found = unframed(slope, frame_margin((height, width), "reflect"))
    torch.testing.assert_close(found, expected)


def test_noise_is_uniform_and_the_seeds_own() -> None:
    first = noise((40, 30), 7, CPU)
    assert torch.equal(first, noise((40, 30), 7, CPU))
    assert not torch.equal(first, noise((40, 30), 8, CPU))
    assert (first.shape, float(first.min()) >= 0, float(first.max()) <= 1) == ((1, 3, 30, 40), True, True)
    assert float(first.mean()) == pytest.approx(0.5, abs=0.02)


def test_noise_leaves_the_process_own_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    noise((4, 4), 1, CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_digests_tell_pictures_of_the_same_bytes_and_other_sizes_apart() -> None:
    wide, tall = Image.new("RGB", (4, 2)), Image.new("RGB", (2, 4))
    assert wide.tobytes() == tall.tobytes()
    assert picture_digest(wide) != picture_digest(tall)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (Image.new("RGB", (1, 1)), "single pixel"),
        (Image.new("RGBA", (9, 9)), "RGBA"),
        (Image.new("L", (9, 9)), "mode L"),
    ],
)
def test_a_picture_the_engine_cannot_take_is_refused_by_its_role(picture: Image.Image, reason: str) -> None:
    with pytest.raises(BadPicture, match=rf"the style .*{reason}"):
        check_picture(picture, "style")
