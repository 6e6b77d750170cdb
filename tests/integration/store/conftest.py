from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from faulty_proxy import FaultyProxy
from impasto.shared.store.s3 import S3Store
from s3_server import S3Server

pytest.register_assert_rewrite("store_contract")


@pytest.fixture(scope="session", autouse=True)
def _no_aws_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, profiles and roles of whoever runs the tests stay out of them."""
    nowhere = tmp_path_factory.mktemp("aws")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("AWS_"):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture
def store(s3_server: S3Server) -> S3Store:
    """A store of its own, in the bucket that all share."""
    return s3_server.store(f"tests/{uuid.uuid4()}")


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    return folder
