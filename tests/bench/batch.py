"""Pairs an hour: a batch through queue, worker and store, against a shell loop over pastiche's command line.

Both run the paper's method as pastiche has it: Gram matrices at the paper's layers after the ReLU, max
pooling, from the photograph, without total variation; the same pairs, size, threads and number of
evaluations, one after the other in one run. The loop pays what a loop pays: a start, the weights and the
targets for every pair. The batch pays for fetching, encoding, putting and counting; its worker was started
before, and the seconds of that are told beside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.pairs import BenchPair, bench_pairs

from impasto.shared.settings import StyleSettings
from servers import RedisServer, valkey_binary
from stage import folder_stage, png
from workers import eventually

RUNS: Final = ((128, 50), (256, 50), (256, 200))
"""Size in pixels and evaluations; the headline is the first at 256 px."""
HEADLINE: Final = (256, 50)

_PAPER: Final = {
    "pooling": "max",
    "content_layers": ("relu4_2",),
    "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "tv_weight": 0.0,
    "start": "content",
}


def measure(*, threads: int, quick: bool = False) -> dict[str, Any]:
    """Both sides for each of `RUNS`; `quick`: the first alone, with two pairs."""
    runs, count = (RUNS[:1], 2) if quick else (RUNS, 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [_compare(folder / str(i), run, count, threads) for i, run in enumerate(runs)]
    headline = next((r for r in results if (r["size_px"], r["evaluations"]) == HEADLINE), results[0])
    return {"pairs_per_hour_ratio": headline["ratio"], "pairs_per_hour": results}


def _compare(folder: Path, run: tuple[int, int], count: int, threads: int) -> dict[str, Any]:
    size_px, evaluations = run
    pairs = bench_pairs(size_px, count)
    folder.mkdir()
    for i, pair in enumerate(pairs):
        (folder / f"content{i}.png").write_bytes(png(pair.content))
        (folder / f"style{i}.png").write_bytes(png(pair.style))
    loop_seconds = _shell_loop(folder, count, run, threads)
    start_seconds, batch_seconds = _batch(folder, pairs, run, threads)
    return {
        "size_px": size_px,
        "evaluations": evaluations,
        "pairs": count,
        "shell_loop_seconds": loop_seconds,
        "batch_seconds": batch_seconds,
        "worker_start_seconds": start_seconds,
        "shell_loop_pairs_per_hour": 3600 * count / loop_seconds,
        "batch_pairs_per_hour": 3600 * count / batch_seconds,
        "ratio": loop_seconds / batch_seconds,
    }


def _shell_loop(folder: Path, count: int, run: tuple[int, int], threads: int) -> float:
    size_px, evaluations = run
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    for i in range(count):
        command = [sys.executable, "-m", "pastiche", "--no-verbose", "--size-pixels", str(size_px**2)]
        command += ["--style-size-pixels", str(size_px**2)]
        command += ["--num-steps", str(evaluations), "--content", str(folder / f"content{i}.png")]
        command += ["--styles", str(folder / f"style{i}.png"), "--output", str(folder / f"loop{i}.png")]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    return time.perf_counter() - began


def _batch(folder: Path, pairs: list[BenchPair], run: tuple[int, int], threads: int) -> tuple[float, float]:
    size_px, evaluations = run
    settings = StyleSettings.preset("gatys", size_px=size_px, steps=evaluations, **_PAPER)
    with RedisServer(valkey_binary(), folder / "valkey") as server:
        stage = folder_stage(server.url, "bench", folder)
        extra = {"IMPASTO_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        began = time.perf_counter()
        # The defaults of a deployment, not the eager ones of the tests.
        patient = {"IMPASTO_HEART_SECONDS": "3", "IMPASTO_SWEEP_SECONDS": "5", "IMPASTO_LEASE_SECONDS": "30"}
        with stage.worker(folder / "worker.log", **extra, **patient) as worker:
            worker.ready()
            ready = time.perf_counter()
            batch = stage.submit(
                [png(p.content) for p in pairs], [png(p.style) for p in pairs], settings, pairs="zip"
            )
            eventually(lambda: stage.is_over(batch), seconds=3600, what="the batch")
            ended = time.perf_counter()
        done = stage.ledger.status(batch).done
        stage.close()
    if done != len(pairs):
        raise RuntimeError(f"{len(pairs) - done} pairs of the benchmark's batch failed")
    return ready - began, ended - ready
