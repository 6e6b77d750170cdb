from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from impasto.producer.cli.main import main
from impasto.producer.local.runfile import Running, write_running
from impasto.producer.local.valkey import connect, free_port
from impasto.shared.ledger.redis_ledger import RedisLedger
from servers import RedisServer, valkey_binary

SOFTWARE = {"impasto": version("impasto")}
INFO = {
    "device": "cuda:0",
    "host": "gpu-7",
    "network": "vgg19",
    "weights": "caffe",
    "weights_digest": "c34748d2" * 8,
    "software": SOFTWARE,
}


@pytest.fixture
def deployment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: RedisServer, namespace: str
) -> pytest.MonkeyPatch:
    """Variables of a deployment in which only the worker is missing; no `.env` is about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("IMPASTO_REDIS_URL", valkey.url)
    monkeypatch.setenv("IMPASTO_STORE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("IMPASTO_NAMESPACE", namespace)
    return monkeypatch


@pytest.fixture
def ledger(valkey: RedisServer, namespace: str) -> Iterator[RedisLedger]:
    with connect(valkey.url) as client:
        yield RedisLedger(client, namespace=namespace)


@pytest.fixture
def worker(deployment: pytest.MonkeyPatch, ledger: RedisLedger) -> RedisLedger:
    """A living worker, as far as anyone can tell from its heartbeat."""
    ledger.beat("one", INFO, ttl_seconds=600)
    return ledger


def diagnose(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and what each check found, by its name."""
    code = main(["doctor", "--json"])
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert out.isascii()
    answer = json.loads(out)
    assert set(answer) == {"ok", "checks"}
    assert answer["ok"] == (code == 0)
    for check in answer["checks"]:
        assert set(check) == {"name", "status", "detail", "mend"}
        assert check["status"] in ("ok", "warning", "failed")
        assert check["detail"]
        assert bool(check["mend"]) == (check["status"] != "ok")
    return code, {check["name"]: check for check in answer["checks"]}


def statuses(checks: dict[str, dict[str, Any]], status: str) -> set[str]:
    return {name for name, check in checks.items() if check["status"] == status}


def test_all_is_well_where_a_batch_would_run(worker: RedisLedger, capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = diagnose(capsys)

    assert code == 0
    assert set(checks) == {
        "redis", "writes", "policy", "persistence", "store", "disk", "workers", "weights", "versions",
    }  # fmt: skip
    assert statuses(checks, "failed") == set()
    assert "1 × cuda:0 on gpu-7" in checks["workers"]["detail"]
    assert "sha256 c34748d2c34748d2" in checks["weights"]["detail"]
    assert "Valkey" in checks["redis"]["detail"]


def test_people_read_the_same_in_lines(worker: RedisLedger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["ok", "redis"]
    assert lines[-1] == "A batch would run now."


def test_without_a_worker_no_batch_would_run_though_one_could_be_started_here(
    deployment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.setenv("IMPASTO_THREADS", "1")

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"workers"}
    assert "impasto up" in checks["workers"]["mend"]
    assert "sha256" in checks["weights"]["detail"]
    assert "torch" in checks["worker versions"]["detail"]


def test_a_worker_that_has_no_network_loaded_would_run_nothing(
    deployment: pytest.MonkeyPatch, ledger: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.beat("one", {"device": "cpu", "software": SOFTWARE}, ttl_seconds=600)

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"weights"}


def test_workers_of_other_versions_or_with_other_weights_are_warned_of(
    worker: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {**INFO, "weights_digest": "0" * 64, "software": {"impasto": "0.0.1"}}
    worker.beat("two", other, ttl_seconds=600)

    code, checks = diagnose(capsys)

    assert code == 0
    assert statuses(checks, "warning") >= {"weights", "versions"}
    assert "0.0.1" in checks["versions"]["detail"]


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a producer: nothing is asked of a worker that could be started here."""
    monkeypatch.setattr("impasto.producer.doctor.find_spec", lambda _name: None)


@pytest.mark.usefixtures("no_torch")
def test_a_server_that_is_down_is_told_without_its_password(
    deployment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.setenv("IMPASTO_REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"redis"}
    assert "IMPASTO_REDIS_URL" in checks["redis"]["mend"]
    assert "hunter2" not in json.dumps(checks)
    assert checks["store"]["status"] == "ok"


@pytest.mark.usefixtures("no_torch")
def test_where_nothing_runs_the_mend_is_to_start_it(
    deployment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.delenv("IMPASTO_REDIS_URL")

    code, checks = diagnose(capsys)

    assert code == 1
    assert "impasto up" in checks["redis"]["mend"]


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("url", ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_an_address_that_is_none_is_told(
    deployment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    deployment.setenv("IMPASTO_REDIS_URL", url)

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"redis"}


def test_a_store_that_takes_nothing_is_told(
    worker: RedisLedger,
    deployment: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("no folder")
    deployment.setenv("IMPASTO_STORE_URL", (tmp_path / "file" / "store").as_uri())

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"store"}
    assert "IMPASTO_STORE_URL" in checks["store"]["mend"]


def test_a_store_that_is_not_that_of_the_workers_here_would_fail_every_pair(
    worker: RedisLedger,
    valkey: RedisServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = (tmp_path / "theirs").as_uri()
    write_running(tmp_path / "state", Running.this_process(valkey.url, theirs))

    code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"store"}
    assert theirs in checks["store"]["detail"]
    assert "unset it" in checks["store"]["mend"]


def test_messages_that_nobody_could_read_are_warned_of(
    worker: RedisLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    worker.bury("gibberish", "is no Celery task message")

    code, checks = diagnose(capsys)

    assert code == 0
    assert "is no Celery task message" in checks["messages"]["detail"]


def test_a_server_that_evicts_and_forgets_is_warned_of_but_a_batch_would_run(
    deployment: pytest.MonkeyPatch, tmp_path: Path, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    with RedisServer(valkey_binary(), tmp_path / "server", options) as server, connect(server.url) as client:
        deployment.setenv("IMPASTO_REDIS_URL", server.url)
        RedisLedger(client, namespace=namespace).beat("one", INFO, ttl_seconds=600)

        code, checks = diagnose(capsys)

    assert code == 0
    assert statuses(checks, "warning") >= {"policy", "persistence"}
    assert "allkeys-lru" in checks["policy"]["detail"]
    assert "noeviction" in checks["policy"]["mend"]


def test_snapshots_count_as_persistence(
    deployment: pytest.MonkeyPatch, tmp_path: Path, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"save": "900 1", "appendonly": "no"}
    with RedisServer(valkey_binary(), tmp_path / "server", options) as server, connect(server.url) as client:
        deployment.setenv("IMPASTO_REDIS_URL", server.url)
        RedisLedger(client, namespace=namespace).beat("one", INFO, ttl_seconds=600)

        _, checks = diagnose(capsys)

    assert checks["persistence"]["status"] == "ok"
    assert "900 1" in checks["persistence"]["detail"]


def test_a_full_server_would_run_nothing(
    deployment: pytest.MonkeyPatch, tmp_path: Path, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with RedisServer(valkey_binary(), tmp_path / "server") as server, connect(server.url) as client:
        deployment.setenv("IMPASTO_REDIS_URL", server.url)
        RedisLedger(client, namespace=namespace).beat("one", INFO, ttl_seconds=600)
        client.config_set("maxmemory", "100kb")

        code, checks = diagnose(capsys)

    assert code == 1
    assert statuses(checks, "failed") == {"writes"}


@pytest.mark.usefixtures("no_torch")
def test_a_replica_would_run_nothing(
    deployment: pytest.MonkeyPatch, tmp_path: Path, valkey: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"replicaof": f"127.0.0.1 {valkey.port}"}
    with RedisServer(valkey_binary(), tmp_path / "server", options) as server:
        deployment.setenv("IMPASTO_REDIS_URL", server.url)

        code, checks = diagnose(capsys)

    assert code == 1
    assert "writes" in statuses(checks, "failed")
    assert "read-only" in checks["writes"]["detail"]
