"""`run.json` in the state folder: how commands on this machine find what `impasto up` runs."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from impasto.producer.local.processes import born
from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import BadSettings, NotRunning

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Running:
    """An `impasto up`: its process, where its parts are, since when (ISO 8601, UTC).

    `born` tells a later process of the same pid from this one.
    """

    pid: int
    redis_url: str
    store_url: str
    started_at: str
    born: str

    @classmethod
    def this_process(cls, redis_url: str, store_url: str) -> Running:
        """What to write about oneself, now."""
        since = born(os.getpid()) or ""
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(os.getpid(), redis_url, store_url, started_at, since)


def write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, readable by its owner alone (mode 0600) from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_running(state: Path, running: Running) -> None:
    """Announce it to other commands; mode 0600, since the URL holds the server's password."""
    write_private(state / RUN_FILE, json.dumps(asdict(running), indent=2) + "\n")


def forget_running(state: Path) -> None:
    """Take the announcement back; nothing when there is none."""
    with contextlib.suppress(FileNotFoundError):
        (state / RUN_FILE).unlink()


def find_running(state: Path) -> Running | None:
    """The `impasto up` that runs on that state folder; None when there is no file or its process is gone."""
    try:
        fields: dict[str, Any] = json.loads((state / RUN_FILE).read_text(encoding="utf-8"))
        running = Running(
            pid=int(fields["pid"]),
            redis_url=str(fields["redis_url"]),
            store_url=str(fields["store_url"]),
            started_at=str(fields["started_at"]),
            born=str(fields["born"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if born(running.pid) == running.born else None


def default_store_url(state: Path) -> str:
    """Where bytes lie when IMPASTO_STORE_URL says nothing: a folder of the state folder."""
    return (state / "store").absolute().as_uri()


def locate(deployment: Deployment) -> Deployment:
    """The deployment with Redis and store filled in: as set, else those of the `impasto up` on this machine.

    Raises NotRunning when IMPASTO_REDIS_URL is not set and nothing runs here.
    """
    running = find_running(deployment.state)
    redis_url = deployment.redis_url or (running.redis_url if running else None)
    if redis_url is None:
        raise NotRunning(
            f"no Impasto runs on this machine (looked in {deployment.state}): "
            "start it with `impasto up` in another terminal, or set IMPASTO_REDIS_URL"
        )
    store_url = (
        deployment.store_url
        or (running.store_url if running and running.redis_url == redis_url else None)
        or default_store_url(deployment.state)
    )
    return deployment.model_copy(update={"redis_url": redis_url, "store_url": store_url})


def check_same_store(located: Deployment) -> None:
    """Raises BadSettings when the workers of this machine's `impasto up` use another store.

    Inputs in one store and workers on another would fail every pair.
    """
    running = find_running(located.state)
    if running is None or running.redis_url != located.redis_url or located.store_url is None:
        return
    if running.store_url.rstrip("/") != located.store_url.rstrip("/"):
        raise BadSettings(
            f"IMPASTO_STORE_URL is {mask_url(located.store_url)}, but the workers that run here use "
            f"{mask_url(running.store_url)}: unset it, or start `impasto up` again"
        )
