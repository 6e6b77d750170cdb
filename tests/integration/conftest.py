"""A deployment on real servers, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.producer import Client
from impasto.shared.deployment import Deployment
from servers import RedisServer


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
