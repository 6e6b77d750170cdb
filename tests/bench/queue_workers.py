"""What the queue costs by workers without an engine: overhead, rates, recovery."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from faulty_proxy import FaultyProxy
from impasto.shared import layout
from impasto.shared.ledger import EventType
from impasto.shared.metadata import OutputMetadata
from s3_server import S3Server
from servers import RedisServer, valkey_binary
from stage import Stage, folder_stage, picture, png, s3_stage
from workers import WorkerProcess, eventually

DEFAULTS: Final = {
    "IMPASTO_LEASE_SECONDS": "30",
    "IMPASTO_HEART_SECONDS": "3",
    "IMPASTO_SWEEP_SECONDS": "5",
    "IMPASTO_RETRY_BASE_SECONDS": "2",
    "IMPASTO_GRACE_SECONDS": "10",
}
"""Those of a deployment, not the eager ones of the tests."""
STORE_SECONDS: Final = 0.2
PAIR_SECONDS: Final = 3.0


def measure_rates(folder: Path, worker_counts: tuple[int, ...]) -> dict[str, Any]:
    """Pairs a second by number of worker processes; the overhead is a pair's share with one of them."""
    rates = {}
    for count in worker_counts:
        (folder / str(count)).mkdir(parents=True)
        rates[str(count)] = _rate(folder / str(count), count)
    return {"overhead_ms_per_pair": 1000 / rates[str(worker_counts[0])], "pairs_per_second": rates}


def _rate(folder: Path, count: int) -> float:
    """Between the tenth and the ninetieth percent of the pairs done, so that no start or end is in it."""
    with RedisServer(valkey_binary(), folder / "valkey") as server, ExitStack() as stack:
        stage = folder_stage(server.url, "bench", folder)
        _start(stage, folder, count, stack)
        batch = _submit(stage, contents=40, styles=20 if count < 8 else 50)
        eventually(lambda: stage.is_over(batch), seconds=900, what="the batch")
        done = sorted(e.at_ms for e in stage.ledger.events(batch) if e.type is EventType.PAIR_DONE)
        stage.close()
    # Of a long batch the first events are gone.
    first, last = len(done) // 10, len(done) - len(done) // 10 - 1
    return 1000 * (last - first) / (done[last] - done[first])


def measure_recovery(folder: Path, pairs: int = 3) -> dict[str, Any]:
    """Seconds from SIGKILL of a running worker until its pair runs elsewhere, default settings."""
    folder.mkdir()
    with RedisServer(valkey_binary(), folder / "valkey") as server, ExitStack() as stack:
        stage = folder_stage(server.url, "bench", folder)
        workers = _start(stage, folder, 2 * pairs, stack, seconds=600.0, steps=6000)
        batch = _submit(stage, contents=pairs, styles=1)
        eventually(lambda: len(_runners(stage, batch)) == pairs, what="running pairs")
        victims = _runners(stage, batch)
        killed: dict[int, float] = {}
        for pair, name in victims.items():
            worker = next(w for w in workers if f"-{w.process.pid}-" in name)
            worker.kill()
            killed[pair] = time.perf_counter()
            # The three at different moments of a beat.
            time.sleep(1.7)
        seconds: dict[int, float] = {}
        while len(seconds) < pairs:
            for pair, name in _runners(stage, batch).items():
                if name != victims[pair]:
                    seconds.setdefault(pair, time.perf_counter() - killed[pair])
            assert time.perf_counter() - min(killed.values()) < 300, "a pair was lost"
            time.sleep(0.05)
        stage.close()
    return {"recovery_seconds": max(seconds.values()), "recoveries_seconds": sorted(seconds.values())}


def measure_busy(folder: Path) -> dict[str, Any]:
    """The share of the time in which a pair is computed, of a worker whose store takes 200 ms a call.

    From the first pair's end of computing to the last one's: `device_busy_fraction` is the seconds that
    pairs were computed in it, over all of it.
    """
    folder.mkdir()
    with (
        RedisServer(valkey_binary(), folder / "valkey") as server,
        S3Server() as s3,
        FaultyProxy(s3.endpoint_url) as proxy,
    ):
        stage = s3_stage(server.url, "bench", s3, proxy.endpoint_url)
        batch = _submit(stage, contents=4, styles=3)
        proxy.delay_seconds = STORE_SECONDS
        with ExitStack() as stack:
            _start(stage, folder, 1, stack, seconds=PAIR_SECONDS, steps=60)
            eventually(lambda: stage.is_over(batch), seconds=300, what="the batch")
        proxy.delay_seconds = 0.0
        keys = [layout.metadata_key(batch, stage.files.job(batch, i).output_stem) for i in range(12)]
        made = [OutputMetadata.model_validate_json(stage.store.get(key)) for key in keys]
        stage.close()
    ends = sorted(
        (m.finished_at.timestamp() - m.timings_seconds.encode - m.timings_seconds.upload, m.pair)
        for m in made
    )
    computed = sum(made[pair].timings_seconds.optimise for _, pair in ends[1:])
    return {
        "device_busy_fraction": computed / (ends[-1][0] - ends[0][0]),
        "device_busy": {
            "store_seconds_a_call": STORE_SECONDS,
            "pair_seconds": PAIR_SECONDS,
            "pairs": len(made),
            "store_calls": len(proxy.requests),
        },
    }


def _runners(stage: Stage, batch: str) -> dict[int, str]:
    return {running.pair: running.worker for running in stage.ledger.running(batch)}


def _start(
    stage: Stage, folder: Path, count: int, stack: ExitStack, *, seconds: float = 0.0, steps: int = 1
) -> list[WorkerProcess]:
    workers = [
        stack.enter_context(stage.noop_worker(folder / f"{i}.log", seconds=seconds, steps=steps, **DEFAULTS))
        for i in range(count)
    ]
    for worker in workers:
        # Dozens that start together on few cores are slow to.
        eventually(lambda w=worker: w.has("worker.ready"), seconds=600, what="a worker")
    return workers


def _submit(stage: Stage, *, contents: int, styles: int) -> str:
    return stage.submit(
        [png(picture(i)) for i in range(contents)], [png(picture(1000 + i)) for i in range(styles)]
    )
