"""`impasto doctor`: would a batch that is submitted now run? What stands in the way, and how to mend it."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from typing import Any, Final

import redis

from impasto.producer.local.runfile import check_same_store, default_store_url, locate
from impasto.producer.local.valkey import connect, server_facts, server_version
from impasto.producer.webhooks.registry import WebhookState
from impasto.producer.webhooks.service import Webhooks
from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import BadSettings, ImpastoError, NotRunning
from impasto.shared.ledger import WorkerInfo
from impasto.shared.ledger.redis_ledger import RedisLedger
from impasto.shared.printable import printable
from impasto.shared.store.open import file_path, open_deployment_store

_LITTLE_DISK_BYTES: Final = 2 * 2**30
_LITTLE_DISK_SHARE: Final = 0.05
_CHECK_SECONDS: Final = 300.0
_PACKAGES: Final = ("impasto", "celery", "redis")


class Status(StrEnum):
    """What a check found. A warning does not keep a batch from running; a failure does."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One finding; `mend` says what to do, and is empty where all is well."""

    name: str
    status: Status
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which to mend them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether a batch that is submitted now would run."""
        return all(check.status is not Status.FAILED for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """`{"ok", "checks": [{"name", "status", "detail", "mend"}]}`."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def examine(deployment: Deployment) -> Diagnosis:
    """Look at everything that a batch needs. Changes nothing but a scratch object in the store."""
    try:
        located = locate(deployment)
    except NotRunning as error:
        mend = "start `impasto up` in another terminal, or set IMPASTO_REDIS_URL"
        missing = Check("redis", Status.FAILED, str(error).partition(":")[0], mend)
        store_url = deployment.store_url or default_store_url(deployment.state)
        located = deployment.model_copy(update={"store_url": store_url})
        server, workers = [missing], None
    else:
        server, workers = _examine_server(located, located.redis_url or "")
    checks = [*server, *_store(located)]
    if workers is not None:
        checks += _workers(workers)
    if workers:
        checks.append(_weights_of(workers))
    elif find_spec("torch") is not None and find_spec("impasto.worker") is not None:
        checks += _worker_extra()
    checks.append(_versions(workers or []))
    return Diagnosis(tuple(checks))


def _examine_server(deployment: Deployment, url: str) -> tuple[list[Check], list[WorkerInfo] | None]:
    try:
        facts = server_facts(url)
    except BadSettings as error:
        return [Check("redis", Status.FAILED, str(error), "mend IMPASTO_REDIS_URL")], None
    except ImpastoError as error:
        mend = "start the server, or mend IMPASTO_REDIS_URL (host, port, password)"
        return [Check("redis", Status.FAILED, str(error), mend)], None
    with connect(url) as client:
        checks = [
            Check("redis", Status.OK, f"{server_version(facts)} at {mask_url(url)}"),
            _writes(facts),
            _policy(facts),
            _persistence(facts, client),
        ]
        ledger = RedisLedger(client, namespace=deployment.namespace)
        try:
            workers, letters = ledger.workers(), ledger.dead_letters()
            told = list(_webhooks(Webhooks(client, deployment)))
        except ImpastoError as error:
            mend = "mend what stands above; a server must allow scripts (EVALSHA) on Impasto's keys"
            return [*checks, Check("ledger", Status.FAILED, str(error), mend)], None
    if letters:
        detail = f"messages that were no pair jobs: {len(letters)}; the latest {letters[0].reason}"
        mend = (
            "see `impasto deadletters`, and mend the program that sends them (docs/protocol.md); "
            "if that is Impasto, start the workers again with its version; "
            "then `impasto deadletters --forget`"
        )
        checks.append(Check("messages", Status.WARNING, detail, mend))
    return [*checks, *told], workers


def _webhooks(webhooks: Webhooks) -> Iterator[Check]:
    """Nothing where there are none."""
    known = webhooks.list()
    if not known:
        return
    found = Status.OK
    for webhook in known:
        health = webhooks.health(webhook.id)
        last = health.last.told if health.last is not None else ""
        name = f"{webhook.id} ({printable(webhook.shown_url)})"
        if webhook.state is WebhookState.DISABLED:
            mend = f"`impasto webhooks resume {webhook.id}` once it is back, or remove it"
            yield Check("webhooks", Status.WARNING, f"{name} answered that it is gone", mend)
        elif health.failing:
            detail = f"{name} took none of the last {health.failing}: {last}; {health.waiting} wait"
            yield Check("webhooks", Status.WARNING, detail, f"try it: `impasto webhooks test {webhook.id}`")
        elif health.dead:
            detail = f"{name} works, but {health.dead} deliveries were given up before"
            mend = f"`impasto webhooks redeliver --failed {webhook.id}` sends them again"
            yield Check("webhooks", Status.WARNING, detail, mend)
        else:
            continue
        found = Status.WARNING
    backlog = webhooks.backlog()
    if backlog.is_left_lying:
        found = Status.WARNING
        detail = f"events that nobody takes to the webhooks: {backlog.events}"
        yield Check(
            "webhooks", Status.WARNING, detail, "start `impasto beat`; its log says what stands in the way"
        )
    if found is Status.OK:
        yield Check("webhooks", Status.OK, f"{len(known)} told of what happens")


def _writes(facts: Mapping[str, Any]) -> Check:
    role = facts.get("role", "master")
    if role != "master":
        return Check(
            "writes",
            Status.FAILED,
            f"the server is a {role}: read-only",
            "point IMPASTO_REDIS_URL at its primary",
        )
    if facts.get("aof_enabled") and facts.get("aof_last_write_status", "ok") != "ok":
        return Check("writes", Status.FAILED, "the append-only file can't be written", "free its disk")
    limit = int(facts.get("maxmemory", 0))
    used = int(facts.get("used_memory", 0))
    if 0 < limit <= used:
        return Check(
            "writes",
            Status.FAILED,
            f"the memory is full ({_bytes(used)} of {_bytes(limit)})",
            "raise maxmemory, or purge finished batches",
        )
    detail = f"{_bytes(used)} of {_bytes(limit)} in use" if limit else f"{_bytes(used)} in use, no limit"
    return Check("writes", Status.OK, detail)


def _policy(facts: Mapping[str, Any]) -> Check:
    policy = str(facts.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check("policy", Status.OK, "maxmemory-policy is noeviction")
    return Check(
        "policy",
        Status.WARNING,
        f"maxmemory-policy is {policy}: a full server would drop pairs without a word",
        "CONFIG SET maxmemory-policy noeviction, and the same in the server's configuration",
    )


def _persistence(facts: Mapping[str, Any], client: redis.Redis) -> Check:
    if facts.get("aof_enabled"):
        return Check("persistence", Status.OK, "append-only file")
    try:
        snapshots = str(client.config_get("save").get("save", ""))
    except redis.RedisError:
        # Hosted servers often forbid CONFIG; whether they keep anything is then theirs to say.
        return Check(
            "persistence", Status.WARNING, "no append-only file", "turn appendonly on at the server's host"
        )
    if snapshots:
        return Check("persistence", Status.OK, f"snapshots (save {snapshots}), no append-only file")
    return Check(
        "persistence",
        Status.WARNING,
        "neither append-only file nor snapshots: a restart of the server forgets every batch",
        "CONFIG SET appendonly yes, and the same in the server's configuration",
    )


def _store(deployment: Deployment) -> Iterator[Check]:
    url = deployment.store_url or ""
    try:
        check_same_store(deployment)
    except BadSettings as error:
        detail, _, mend = str(error).partition(": ")
        yield Check("store", Status.FAILED, detail, mend)
        return
    try:
        store = open_deployment_store(deployment)
        store.check()
    except ImpastoError as error:
        mend = "mend IMPASTO_STORE_URL and the rights on it"
        if url.startswith("s3://"):
            mend = "mend IMPASTO_STORE_URL, IMPASTO_S3_ENDPOINT_URL or the keys; the bucket must exist"
        yield Check("store", Status.FAILED, str(error), mend)
        return
    yield Check("store", Status.OK, f"{mask_url(store.url)} takes, gives and removes objects")
    if url.startswith("file:"):
        disk = shutil.disk_usage(file_path(url))
        share = disk.free / max(1, disk.total)
        detail = f"{_bytes(disk.free)} of {_bytes(disk.total)} left for the store ({share:.0%})"
        if disk.free < _LITTLE_DISK_BYTES or share < _LITTLE_DISK_SHARE:
            mend = "free some disk: workers wait while it is full"
            yield Check("disk", Status.WARNING, detail, mend)
        else:
            yield Check("disk", Status.OK, detail)


def _workers(workers: list[WorkerInfo]) -> Iterator[Check]:
    if not workers:
        yield Check(
            "workers",
            Status.FAILED,
            "no worker lives",
            "start `impasto up` or `impasto worker`; one that does not stay says why in its log",
        )
        return
    kinds = Counter(_kind(worker.info) for worker in workers)
    detail = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))
    yield Check("workers", Status.OK, f"{len(workers)} alive: {detail}")


def _kind(info: Mapping[str, Any]) -> str:
    words = [str(info.get("device", "unknown device"))]
    if "precision" in info:
        words.append(str(info["precision"]))
    if "host" in info:
        words.append(f"on {info['host']}")
    return " ".join(words)


def _weights_of(workers: list[WorkerInfo]) -> Check:
    loaded = sorted(
        {
            f"{info['network']}, {info.get('weights', '?')}, sha256 {str(info['weights_digest'])[:16]}…"
            for info in (worker.info for worker in workers)
            if info.get("network") and info.get("weights_digest")
        }
    )
    if not loaded:
        return Check(
            "weights", Status.FAILED, "no living worker has a network loaded", "see the workers' logs"
        )
    if len(loaded) > 1:
        detail = f"workers have loaded different networks: {'; '.join(loaded)}"
        return Check("weights", Status.WARNING, detail, "give all workers the same IMPASTO_WEIGHTS")
    return Check("weights", Status.OK, f"{loaded[0]}, loaded by the workers")


def _worker_extra() -> Iterator[Check]:
    """What a worker started here would find: asked of a process of its own, since only it may load torch."""
    command = (sys.executable, "-m", "impasto.worker", "check", "--json")
    mend = "run `python -m impasto.worker check`"
    try:
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Check("weights", Status.FAILED, f"a worker can't be asked: {error}", mend)
        return
    try:
        checks = json.loads(answer.stdout.strip().splitlines()[-1])["checks"]
    except (ValueError, IndexError, KeyError, TypeError):
        last_words = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        yield Check("weights", Status.FAILED, f"a worker does not start: {last_words}", mend)
        return
    for check in checks:
        name = "worker versions" if check["name"] == "versions" else check["name"]
        status = Status.OK if check["ok"] else Status.FAILED
        yield Check(name, status, check["detail"], check["mend"])


def _versions(workers: list[WorkerInfo]) -> Check:
    ours = {name: metadata.version(name) for name in _PACKAGES}
    detail = ", ".join(f"{name} {version}" for name, version in ours.items())
    detail = f"{detail}, Python {platform.python_version()}"
    theirs = {str(worker.info.get("software", {}).get("impasto", "unknown")) for worker in workers}
    others = sorted(theirs - {ours["impasto"]})
    if others:
        return Check(
            "versions",
            Status.WARNING,
            f"{detail}; workers run impasto {', '.join(others)}",
            "install the same version of Impasto everywhere",
        )
    return Check("versions", Status.OK, detail)


def _bytes(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
