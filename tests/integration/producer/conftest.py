from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Impasto
from impasto.producer.cli import main
from stage import picture, png


@pytest.fixture
def impasto(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Impasto:
    """A command of `impasto` that must succeed, and its answer in JSON."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def impasto(*words: object) -> dict[str, Any]:
        capsys.readouterr()
        code = main([*map(str, words), "--json"])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        answer: dict[str, Any] = json.loads(captured.out)
        return answer

    return impasto


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"photo {number}.png").write_bytes(png(picture(number)))
    return folder


@pytest.fixture
def paintings(tmp_path: Path) -> Path:
    """Two paintings."""
    folder = tmp_path / "paintings"
    folder.mkdir()
    for number in range(2):
        (folder / f"painting {number}.png").write_bytes(png(picture(10 + number)))
    return folder
