from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from impasto.shared.deployment import Deployment
from impasto.shared.store.folder import FolderStore

PictureMaker = Callable[..., bytes]


def picture(shade: int, *, format: str = "PNG", mode: str = "RGB") -> bytes:
    """A small picture of one shade, other bytes for each."""
    out = io.BytesIO()
    Image.new("RGB", (24, 16), (shade, 255 - shade, 90)).convert(mode).save(out, format)
    return out.getvalue()


@pytest.fixture
def make_picture() -> PictureMaker:
    return picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder as people have them: pictures, a folder in it, and things that are none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.jpg").write_bytes(picture(1, format="JPEG"))
    (folder / "a.PNG").write_bytes(picture(2))
    (folder / "deep" / "c.webp").write_bytes(picture(3, format="WEBP"))
    (folder / "a.xmp").write_text("a sidecar")
    (folder / "Thumbs.db").write_bytes(b"\0")
    (folder / ".hidden.jpg").write_bytes(picture(4, format="JPEG"))
    (folder / ".git").mkdir()
    (folder / ".git" / "d.png").write_bytes(picture(5))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(state=tmp_path / "state")
