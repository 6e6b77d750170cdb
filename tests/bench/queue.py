"""The queue by itself: what a million pairs cost, a pair's overhead, recovery, and plain Celery beside it.

Workers are whole but for their engine (`tests/noop_worker.py`), servers are real, and everything runs on this
machine, one measurement after the other.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench import queue_accept, queue_baseline, queue_workers

GOALS: Final = {
    "million_accept_seconds": 10.0,
    "million_redis_bytes": 5_000_000,
    "million_producer_rss_bytes": 200_000_000,
    "status_ms": 50.0,
    "recovery_seconds": 60.0,
    "overhead_ms_per_pair": 20.0,
}
"""Each at most that."""
BUSY_GOAL: Final = 0.95


def measure(*, quick: bool = False) -> dict[str, Any]:
    """All figures; `quick`: fewer workers, and no recovery of the baseline."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
        table |= queue_accept.measure(folder / "accept")
        table |= queue_workers.measure_rates(folder / "rates", (1, 2) if quick else (1, 2, 8, 64))
        table |= queue_workers.measure_busy(folder / "busy")
        table |= queue_workers.measure_recovery(folder / "recovery", 1 if quick else 3)
        if not quick:
            table |= queue_baseline.measure(folder / "baseline")
        table["load_after"] = os.getloadavg()[0]
    return table


def write(out: Path, *, quick: bool = False) -> None:
    """Measure into `queue.json`, and print each figure beside its goal."""
    table = measure(quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    (out / "queue.json").write_text(json.dumps(table, indent=2) + "\n")
    for name, goal in GOALS.items():
        print(f"{name}: {table[name]:,.4g} (goal: at most {goal:,.4g})")
    print(f"device_busy_fraction: {table['device_busy_fraction']:.3f} (goal: at least {BUSY_GOAL})")
    for count, rate in table["pairs_per_second"].items():
        print(f"pairs_per_second, {count} workers: {rate:.1f}")
