from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.producer import Client
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
