from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from s3_server import S3Server
from servers import RedisServer, redis_binary, valkey_binary

pytest.register_assert_rewrite("ledger_contract", "ledger_machine")


@pytest.fixture(scope="session", autouse=True)
def _nothing_from_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The settings of whoever runs the tests stay out of them, and the tests out of their state folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("IMPASTO_"):
                patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(valkey_binary(), tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session", params=["valkey", "redis-server"])
def redis_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """Each server that Impasto runs on, one after the other."""
    if request.param == "valkey":
        yield request.getfixturevalue("valkey")
        return
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server is installed: apt install redis-server")
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def namespace() -> str:
    """A prefix of keys that no other test uses, in place of emptying a server."""
    return f"test-{uuid.uuid4().hex[:12]}"
