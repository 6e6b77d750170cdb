"""Seconds and bytes against megapixels: tiled evaluations of `gallery`, each size in a process of its own.

python -m bench.sizes            # the curve
python -m bench.sizes 6000 4000  # one size
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

SIZES: Final = ((500, 333), (1000, 667), (1500, 1000))
"""(width, height) of the curve; 6000 × 4000 takes minutes and is measured on its own."""
TILE_PX: Final = 384


def measure(sizes: tuple[tuple[int, int], ...] = SIZES) -> dict[str, Any]:
    """Per (width, height) px: megapixels, seconds of one tiled evaluation and of the targets, and the peak
    resident bytes of the whole process.
    """
    return {"tile_px": TILE_PX, "sizes": [_in_a_process(size) for size in sizes]}


def _in_a_process(size: tuple[int, int]) -> dict[str, Any]:
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "bench.sizes", "--inside", *map(str, size)],
        env={**os.environ, "PYTHONPATH": tests},
        stdout=subprocess.PIPE,
        check=True,
    )
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def evaluate_once(width: int, height: int) -> dict[str, Any]:
    """One tiled evaluation in this process, from the content."""
    import torch
    from PIL import Image

    from impasto.worker.engine import StyleSettings, TargetCache, load_network
    from impasto.worker.engine.device import resolve_precision
    from impasto.worker.engine.images import to_tensor
    from impasto.worker.engine.tiled import TiledObjective, tiled_targets

    # Noise of few pixels, enlarged: what is in it does not matter to time or memory.
    scene = Image.effect_noise((width // 8, height // 8), 80).convert("RGB").resize((width, height))
    look = Image.effect_noise((64, 64), 80).convert("RGB").resize((512, 512))
    network = load_network("caffe", device="cpu")
    settings = StyleSettings.preset("gallery")
    dtype = resolve_precision(settings.precision, network.device)
    began = time.perf_counter()
    aims = tiled_targets(scene, [(look, 1.0)], settings, network, dtype, TargetCache(), TILE_PX)
    objective = TiledObjective(scene, aims, settings, network, dtype, tile_px=TILE_PX)
    ready = time.perf_counter()
    found = objective(to_tensor(scene, network.device))
    ended = time.perf_counter()
    return {
        "width_px": width,
        "height_px": height,
        "megapixels": width * height / 1e6,
        "targets_seconds": ready - began,
        "evaluation_seconds": ended - ready,
        "total": found.total,
        "precision": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--inside"]:
        print(json.dumps(evaluate_once(int(arguments[1]), int(arguments[2]))))
    elif arguments:
        print(json.dumps(measure(((int(arguments[0]), int(arguments[1])),)), indent=2))
    else:
        print(json.dumps(measure(), indent=2))
