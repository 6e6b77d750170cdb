from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import Impasto
from impasto.producer import Client
from impasto.producer.cli import main
from impasto.shared.deployment import Deployment
from servers import RedisServer
from stage import picture, png


@pytest.fixture
def environment(valkey: RedisServer, namespace: str, tmp_path: Path) -> dict[str, str]:
    """What the variables of a deployment on real servers say."""
    return {
        "IMPASTO_REDIS_URL": valkey.url,
        "IMPASTO_NAMESPACE": namespace,
        "IMPASTO_STATE": str(tmp_path / "state"),
        "IMPASTO_STORE_URL": (tmp_path / "store").as_uri(),
    }


@pytest.fixture
def deployment(environment: dict[str, str]) -> Deployment:
    return Deployment.load(
        _env_file=None, **{k.removeprefix("IMPASTO_").lower(): v for k, v in environment.items()}
    )


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    with Client(deployment) as client:
        yield client


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
