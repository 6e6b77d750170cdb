"""Seconds and bytes against megapixels: whole runs within a memory budget, each in a process of its own.

python -m tests.bench.sizes            # the curve
python -m tests.bench.sizes 6000 4000  # one size
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

CURVE: Final = ((256, 171), (512, 341), (1024, 683), (2048, 1365))
"""(width, height) px, a longer side that doubles."""
LARGE: Final = (6000, 4000)
BUDGET_BYTES: Final = 4_000_000_000
# As many evaluations as fill the curvature history that the budget leaves the large picture, and one more.
_STEPS: Final = 5


def measure(*, quick: bool = False) -> dict[str, Any]:
    """The curve, and the large picture's peak; `quick` leaves out what takes minutes."""
    curve = [_in_a_process(size, 3) for size in (CURVE[:3] if quick else CURVE)]
    large = None if quick else _in_a_process(LARGE, _STEPS)
    return {
        "budget_bytes": BUDGET_BYTES,
        "tiled_peak_rss_bytes": None if large is None else large["peak_rss_bytes"],
        "sizes": [*curve, *([large] if large is not None else [])],
    }


def _in_a_process(size: tuple[int, int], steps: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.sizes", "--inside", *map(str, (*size, steps))],
        cwd=Path(__file__).parents[2],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        check=True,
    )
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def run_once(width: int, height: int, steps: int) -> dict[str, Any]:
    """A run of `tutorial` in this process, at the picture's own size."""
    import torch
    from PIL import Image

    from impasto.worker.engine import StyleSettings, load_network, stylize
    from impasto.worker.heap import keep_freed_memory

    # As a worker does: what it keeps counts.
    keep_freed_memory()
    # Noise of few pixels, enlarged: what is in it does not matter to time or memory.
    scene = Image.effect_noise((width // 8, height // 8), 80).convert("RGB").resize((width, height))
    look = Image.effect_noise((64, 64), 80).convert("RGB").resize((512, 512))
    network = load_network("caffe", device="cpu")
    settings = StyleSettings.preset("tutorial", size_px=max(width, height), steps=steps)
    ends: list[float] = []
    result = stylize(
        scene,
        look,
        settings,
        network,
        memory_budget_bytes=BUDGET_BYTES,
        on_step=lambda step: ends.append(time.perf_counter()),
    )
    return {
        "width_px": width,
        "height_px": height,
        "megapixels": width * height / 1e6,
        "steps": steps,
        "targets_seconds": result.timings["targets"],
        "step_seconds": min(later - sooner for sooner, later in pairwise(ends)),
        "first_total": result.losses[0].total,
        "last_total": result.losses[-1].total,
        "precision": result.precision,
        "threads": torch.get_num_threads(),
        "notes": result.notes,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--inside"]:
        print(json.dumps(run_once(*map(int, arguments[1:4]))))
    elif arguments:
        print(json.dumps(_in_a_process((int(arguments[0]), int(arguments[1])), _STEPS), indent=2))
    else:
        print(json.dumps(measure(), indent=2))
