from __future__ import annotations

import json
from pathlib import Path

import pytest

from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import BadSettings


def test_nothing_needs_to_be_set() -> None:
    deployment = Deployment.load(_env_file=None)
    assert deployment.redis_url is None
    assert deployment.store_url is None
    assert deployment.lease_seconds > 2 * deployment.heart_seconds


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_WINDOW", "9")
    monkeypatch.setenv("IMPASTO_INPUT_PREFIXES", "s3://a/, file:///b ,")
    deployment = Deployment.load(_env_file=None)
    assert deployment.window == 9
    assert deployment.input_prefixes == ("s3://a/", "file:///b")


def test_a_dot_env_file_in_the_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("IMPASTO_NAMESPACE=studio\n")
    monkeypatch.chdir(tmp_path)
    assert Deployment.load().namespace == "studio"


def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_LEASE_SECONDS", "soon")
    with pytest.raises(BadSettings, match=r"IMPASTO_LEASE_SECONDS: .*'soon'"):
        Deployment.load(_env_file=None)


def test_a_heart_too_slow_for_its_lease_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_LEASE_SECONDS", "5")
    with pytest.raises(BadSettings, match=r"IMPASTO_HEART_SECONDS: .*IMPASTO_LEASE_SECONDS, which is 5"):
        Deployment.load(_env_file=None)
    monkeypatch.setenv("IMPASTO_HEART_SECONDS", "2.5")
    assert Deployment.load(_env_file=None).heart_seconds == 2.5


def test_secrets_are_masked_wherever_they_stand() -> None:
    deployment = Deployment.load(
        _env_file=None,
        redis_url="redis://user:hunter2@host:6379/0",
        s3_access_key_id="me",
        s3_secret_access_key="hunter3",
        s3_endpoint_url="http://u:hunter4@host",
    )
    shown = json.dumps(deployment.masked())
    assert "hunter" not in shown
    assert "host:6379" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@h:1/0", "redis://:********@h:1/0"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("s3://bucket/p", "s3://bucket/p"),
    ],
)
def test_only_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown
