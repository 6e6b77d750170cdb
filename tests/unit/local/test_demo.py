from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from impasto.producer.demo.inputs import PHOTOGRAPHS, place_photographs
from impasto.producer.demo.run import demo_settings, run_demo
from impasto.shared.errors import BadSettings
from impasto.shared.settings import StyleSettings


def test_the_photographs_come_out_of_the_wheel_and_are_pictures(tmp_path: Path) -> None:
    place_photographs(tmp_path / "contents")

    placed = sorted(path.name for path in (tmp_path / "contents").iterdir())
    assert placed == sorted(PHOTOGRAPHS)
    for name in placed:
        with Image.open(tmp_path / "contents" / name) as picture:
            picture.load()
            assert min(picture.size) >= 256


def test_the_demo_uses_the_gallery_preset_at_its_size() -> None:
    assert demo_settings(256, None) == StyleSettings.preset("gallery", size_px=256)


@pytest.mark.parametrize(("size_px", "steps"), [(16, 1), (64, 3), (128, None), (512, 500)])
def test_any_size_and_number_of_steps_makes_settings(size_px: int, steps: int | None) -> None:
    settings = demo_settings(size_px, steps)

    assert settings.size_px == size_px
    assert settings.coarsest_px is None or settings.coarsest_px < size_px
    assert steps is None or (settings.steps == steps and settings.coarse_steps <= steps)


def test_somebodys_own_pictures_are_not_swept_away(tmp_path: Path) -> None:
    own = tmp_path / "outputs" / "holiday.png"
    own.parent.mkdir()
    own.write_bytes(b"dear to somebody")

    with pytest.raises(BadSettings, match="not from a demo"):
        run_demo(tmp_path, console=Console(quiet=True))

    assert own.read_bytes() == b"dear to somebody"
