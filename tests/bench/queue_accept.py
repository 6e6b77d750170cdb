"""A million pairs accepted: seconds and memory of the producer, bytes of Redis, and a status of it.

Each submission is a process of its own, so that its peak memory is its own. `1000x1000` goes the whole way
of `Client.submit`, which reads and decodes each input; `1000000x1` begins where its inputs are checked, since
decoding a million pictures is the pictures' cost and not the queue's. What it takes to make an `InputRef` of
each name and digest is told beside.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from impasto.producer import Client
from impasto.shared.deployment import Deployment
from impasto.shared.jobs import LINES_A_CHUNK, BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening
from impasto.shared.settings import StyleSettings
from servers import RedisServer, valkey_binary
from stage import folder_stage, picture, png

ROOT: Final = Path(__file__).parents[2]
SETTLED: Final = 12_000
"""Pairs settled before the bytes are read: more than the events that are kept."""


def measure(folder: Path) -> dict[str, Any]:
    """Both forms of the million, each on a server of its own."""
    forms = {form: _accept(folder / form, form) for form in ("1000x1000", "1000000x1")}
    return {
        "million_accept_seconds": max(f["seconds"] for f in forms.values()),
        "million_redis_bytes": max(f["redis_bytes"] for f in forms.values()),
        "million_producer_rss_bytes": max(f["producer_rss_bytes"] for f in forms.values()),
        "status_ms": max(f["status_ms"] for f in forms.values()),
        "million": forms,
    }


def _accept(folder: Path, form: str) -> dict[str, Any]:
    folder.mkdir(parents=True)
    with RedisServer(valkey_binary(), folder / "valkey") as server:
        stage = folder_stage(server.url, "bench", folder)
        if form == "1000x1000":
            _upload(stage.deployment, folder)
        before = stage.client.info("memory")["used_memory"]
        environment = {**os.environ, **stage.environment, "PYTHONPATH": str(ROOT / "tests")}
        command = [sys.executable, "-m", "tests.bench.queue_accept", form, str(folder)]
        told = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        ).stdout
        (batch,) = stage.ledger.batches()
        accepted = stage.client.info("memory")["used_memory"] - before
        # As large as it gets: the last bit of the bitmap set, and as many events as are kept.
        for pair in (*range(SETTLED), 999_999):
            stage.ledger.finish(batch, pair, lease_id="bench", busy_seconds=1.0)
        settled = stage.client.info("memory")["used_memory"] - before
        with Client(stage.deployment) as client:
            times = [_milliseconds(client, batch) for _ in range(50)]
        stage.close()
    return {
        **json.loads(told),
        "redis_bytes_accepted": accepted,
        "redis_bytes": max(accepted, settled),
        "status_ms": statistics.median(times),
        "status_ms_slowest": max(times),
    }


def _upload(deployment: Deployment, folder: Path) -> None:
    """A thousand contents and a thousand styles, as files and in the store already."""
    for number, kind in enumerate(("contents", "styles")):
        (folder / kind).mkdir()
        for i in range(1000):
            (folder / kind / f"{i}.png").write_bytes(png(picture(1000 * number + i, (24, 24))))
    with Client(deployment) as client:
        first = client.submit(folder / "contents", folder / "styles")
        assert first.batch is not None
        client.cancel(first.batch)
        ledger = client.connection.ledger
        ledger.forget(first.batch)
        assert ledger.batches() == []
        client.connection.redis.delete(client.deployment.queue, *_queues(client.deployment))


def _queues(deployment: Deployment) -> list[str]:
    from impasto.shared.celery_app import queue_keys

    return queue_keys(deployment)


def _milliseconds(client: Client, batch: str) -> float:
    began = time.perf_counter()
    client.status(batch)
    return 1000 * (time.perf_counter() - began)


def _ref(number: int) -> InputRef:
    digest = f"{number:064x}"
    return InputRef(
        uri=f"store:inputs/{digest}.jpg",
        name=f"holiday/photograph-{number:07d}.jpg",
        slug=f"photograph-{number:07d}",
        sha256=digest,
        size_bytes=1_000_000,
    )


class _Refs:
    """A stream of inputs, never all in memory; how long it took to make them is kept apart."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.seconds = 0.0

    def __iter__(self) -> Iterator[InputRef]:
        for first in range(0, self._count, LINES_A_CHUNK):
            began = time.perf_counter()
            chunk = [_ref(i) for i in range(first, min(self._count, first + LINES_A_CHUNK))]
            self.seconds += time.perf_counter() - began
            yield from chunk


def _submit(form: str, folder: Path) -> dict[str, Any]:
    """In the process that is measured."""
    with Client() as client:
        began, refs = time.perf_counter(), _Refs(1_000_000)
        if form == "1000x1000":
            submission = client.submit(folder / "contents", folder / "styles")
            assert submission.pairs == 1_000_000
        else:
            spec = BatchSpec(
                batch="million",
                name="million",
                created_at=datetime.now(UTC),
                contents=1_000_000,
                styles=1,
                settings=StyleSettings(),
            )
            connection = client.connection
            connection.batches.write(spec, refs, [_ref(0)])
            connection.ledger.open(BatchOpening(spec.batch, spec.total, spec.name))
            connection.dispatcher.advance(spec.batch)
        seconds = time.perf_counter() - began
    return {
        "seconds": seconds - refs.seconds,
        "making_refs_seconds": refs.seconds,
        "producer_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    print(json.dumps(_submit(sys.argv[1], Path(sys.argv[2]))))
