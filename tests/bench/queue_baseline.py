"""Plain Celery with late acks beside it: messages a second, bytes of a million messages, recovery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from impasto.shared.jobs import PairJob
from impasto.shared.settings import StyleSettings
from servers import RedisServer, valkey_binary

ROOT: Final = Path(__file__).parents[2]
MESSAGES: Final = 5_000
WATCH_SECONDS: Final = 60.0
"""How long a killed worker's message is waited for with Celery's own visibility timeout, an hour."""
TUNED_VISIBILITY_SECONDS: Final = 30
"""Impasto's lease, as a visibility timeout: no pair may then take longer."""


def measure(folder: Path) -> dict[str, Any]:
    """All figures; each run on a server of its own."""
    folder.mkdir()
    return {
        "plain_celery": {
            **_throughput(folder / "throughput"),
            "recovery_seconds": _recovery(folder / "default", None, WATCH_SECONDS),
            "recovery_watched_seconds": WATCH_SECONDS,
            "recovery_seconds_visibility_30": _recovery(folder / "tuned", TUNED_VISIBILITY_SECONDS, 300.0),
        }
    }


def _throughput(folder: Path) -> dict[str, Any]:
    with RedisServer(valkey_binary(), folder) as server:
        client = redis.Redis.from_url(server.url)
        before = client.info("memory")["used_memory"]
        began = time.perf_counter()
        _send(server.url, "plain.nothing", MESSAGES)
        sent = time.perf_counter() - began
        queued = client.info("memory")["used_memory"] - before
        with _worker(server.url, folder / "worker.log"):
            _until(lambda: client.llen("celery") < MESSAGES)
            began, left = time.perf_counter(), client.llen("celery")
            _until(lambda: client.llen("celery") == 0)
            taken = time.perf_counter() - began
        client.close()
    return {
        "publish_messages_per_second": MESSAGES / sent,
        "consume_messages_per_second": left / taken,
        "million_redis_bytes": queued * 1_000_000 // MESSAGES,
        "million_accept_seconds": sent * 1_000_000 / MESSAGES,
        "extrapolated_from_messages": MESSAGES,
    }


def _recovery(folder: Path, visibility_seconds: int | None, patience_seconds: float) -> float | None:
    """Seconds from SIGKILL until the message runs at the second worker; None if it did not meanwhile."""
    with RedisServer(valkey_binary(), folder) as server:
        client = redis.Redis.from_url(server.url)
        with (
            _worker(server.url, folder / "first.log", visibility_seconds) as first,
            _worker(server.url, folder / "second.log", visibility_seconds) as second,
        ):
            # So that both are there, each with a pool process that has started.
            _until(lambda: all("ready" in w.log.read_text() for w in (first, second)))
            _send(server.url, "plain.pair", 1)
            _until(lambda: client.llen("plain:started") == 1)
            (pid,) = client.lrange("plain:started", 0, -1)
            victim = next(w for w in (first, second) if w.holds(int(pid)))
            victim.kill()
            killed = time.perf_counter()
            while client.llen("plain:started") < 2:
                if time.perf_counter() - killed > patience_seconds:
                    return None
                time.sleep(0.1)
            return time.perf_counter() - killed


class _Plain:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def holds(self, pid: int) -> bool:
        """Whether that process is this worker or of its pool, which is in its session."""
        return os.getsid(pid) == self.process.pid

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def _worker(url: str, log: Path, visibility_seconds: int | None = None) -> Iterator[_Plain]:
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.plain_celery:app", "worker"]
    command += ["--concurrency", "1", "--loglevel", "INFO", "-n", f"{log.stem}@%h"]
    if visibility_seconds is not None:
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(url, visibility_seconds),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    plain = _Plain(process, log)
    try:
        yield plain
    finally:
        plain.kill()


def _environment(url: str, visibility_seconds: int | None) -> dict[str, str]:
    environment = {**os.environ, "PLAIN_REDIS_URL": url}
    if visibility_seconds is not None:
        environment["PLAIN_VISIBILITY_SECONDS"] = str(visibility_seconds)
    return environment


def _send(url: str, task: str, count: int) -> None:
    from celery import Celery

    digest = "0" * 64
    ref = {
        "uri": f"store:inputs/{digest}.jpg",
        "name": "photograph.jpg",
        "slug": "photograph",
        "sha256": digest,
    }
    job = PairJob.from_wire(
        {
            "content": ref,
            "style": ref,
            "settings": StyleSettings().model_dump(mode="json"),
            "batch": "b",
            "pair": 1,
        }
    ).to_wire()
    args: list[Any] = [job] if task == "plain.nothing" else [job, 600.0]
    app = Celery("sender", broker=url, set_as_current=False)
    for _ in range(count):
        app.send_task(task, args=args)
    app.close()


def _until(check: Any, seconds: float = 120.0) -> None:
    deadline = time.perf_counter() + seconds
    while not check():
        assert time.perf_counter() < deadline, "the baseline did not get so far"
        time.sleep(0.01)
