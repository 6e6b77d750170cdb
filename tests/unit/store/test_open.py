from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings
from impasto.shared.store import open_store
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.open import open_deployment_store
from impasto.shared.store.s3 import S3Store


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://my.bucket-1/é x?#%", "s3://my.bucket-1/é x?#%"),
        ("file:///folder", "file:///folder"),
        ("file:///folder/", "file:///folder"),
        ("file://localhost/a%20b", "file:///a%20b"),
    ],
)
def test_a_store_is_opened_by_its_url(url: str, whole: str) -> None:
    store = open_store(url)
    assert store.url == whole
    assert isinstance(store, S3Store if url.startswith("s3") else FolderStore)
    assert open_store(store.url).url == whole


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/folder",
        "folder",
        "http://host/bucket",
        "s3:/bucket",
        "s3://",
        "s3:///key",
        "s3://Bucket/x",
        "s3://ab",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "file://host/folder",
        "file:folder",
        "file://",
        "file:///a%00b",
    ],
)
def test_anything_else_is_a_bad_setting_with_the_mend(url: str) -> None:
    with pytest.raises(BadSettings, match=r"s3://bucket|file:///folder"):
        open_store(url)


def test_a_password_in_a_wrong_url_is_not_shown() -> None:
    with pytest.raises(BadSettings) as caught:
        open_store("redis://user:hush@host/0")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("half", [{"access_key_id": "id"}, {"secret_access_key": "hush"}])
def test_half_a_key_is_a_bad_setting(half: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match="both"):
        open_store("s3://bucket", **half)


@pytest.mark.parametrize("secret", ["hush", SecretStr("hush")])
def test_all_of_a_deployment_reaches_the_client(secret: SecretStr | str) -> None:
    store = open_store(
        "s3://bucket/p",
        endpoint_url="http://127.0.0.1:9",
        region="eu-west-1",
        access_key_id="id",
        secret_access_key=secret,
        threads=3,
    )
    assert isinstance(store, S3Store)
    assert "hush" not in repr(store.access)
    client = store.access.client()
    config = client.meta.config
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert (client.meta.region_name, config.max_pool_connections) == ("eu-west-1", 3)
    assert config.s3["addressing_style"] == "path"
    assert config.request_checksum_calculation == "when_required"
    assert config.retries["total_max_attempts"] == 8


def test_without_a_url_the_store_is_a_folder_of_the_state(tmp_path: Path) -> None:
    deployment = Deployment(state=tmp_path, _env_file=None)
    assert open_deployment_store(deployment).url == (tmp_path / "store").as_uri()
    assert open_deployment_store(deployment, tmp_path / "x").url == (tmp_path / "x").as_uri()


def test_the_deployments_url_goes_before_any_folder(tmp_path: Path) -> None:
    deployment = Deployment(
        state=tmp_path,
        store_url="s3://bucket/p",
        s3_endpoint_url="http://127.0.0.1:9",
        s3_region="eu-west-1",
        s3_access_key_id="id",
        s3_secret_access_key=SecretStr("hush"),
        _env_file=None,
    )
    store = open_deployment_store(deployment, tmp_path)
    assert isinstance(store, S3Store)
    assert store.url == "s3://bucket/p"
    assert (store.access.endpoint_url, store.access.region) == ("http://127.0.0.1:9", "eu-west-1")
