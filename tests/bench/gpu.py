"""`python -m tests.bench.gpu`: the engine's measures on CUDA, and pairs an hour by stack and size, into
build/bench/gpu.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import torch
from tests.bench.engine import bench_engine, wait_for
from tests.bench.pairs import bench_pairs

from impasto.shared.errors import OutOfDeviceMemory
from impasto.worker.engine import Network, StyleSettings, load_network, stylize_stack

STACKS: Final = (1, 2, 4, 8, 16, 32)
SIZES_PX: Final = (256, 512, 1024)
_STEPS: Final = 100


def pairs_per_hour(
    network: Network, stacks: tuple[int, ...], sizes_px: tuple[int, ...], steps: int
) -> list[dict[str, Any]]:
    """Of `gallery`'s losses at one scale, targets and pictures included, after one run to warm up."""
    rows: list[dict[str, Any]] = []
    for size_px in sizes_px:
        settings = StyleSettings.preset("gallery", size_px=size_px, coarsest_px=None, steps=steps)
        kinds = bench_pairs(size_px)
        for stack in stacks:
            pairs = [(kinds[i % len(kinds)].content, kinds[i % len(kinds)].style) for i in range(stack)]
            row: dict[str, Any] = {"size_px": size_px, "stack": stack, "steps": steps}
            try:
                stylize_stack(pairs, settings.model_copy(update={"steps": 2}), network)
                wait_for(network.device)
                began = time.perf_counter()
                results = stylize_stack(pairs, settings, network)
                wait_for(network.device)
                row["seconds"] = time.perf_counter() - began
            except OutOfDeviceMemory as error:
                rows.append({**row, "left_out": str(error)})
                continue
            row["pairs_per_hour"] = 3600 * stack / row["seconds"]
            row["precision"] = results[0].precision
            rows.append(row)
            print(f"{size_px} px, {stack} at a time: {row['pairs_per_hour']:.0f} pairs an hour", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument(
        "--device", default="cuda", help="cuda, cuda:N, or cpu to try the measures themselves"
    )
    parser.add_argument("--size-px", type=int, default=256, help="side of the pictures of the whole runs")
    parser.add_argument("--pairs", type=int, default=6, help="how many pairs, 1 to 8")
    parser.add_argument("--stacks", type=int, nargs="+", default=STACKS)
    parser.add_argument("--sizes-px", type=int, nargs="+", default=SIZES_PX)
    parser.add_argument("--steps", type=int, default=_STEPS, help="evaluations of the stacks")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the file goes")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here: run it where a GPU is, or with --device cpu")
    network = load_network("caffe", device=options.device)
    rows = pairs_per_hour(network, tuple(options.stacks), tuple(options.sizes_px), options.steps)
    table, _ = bench_engine(options.size_px, options.pairs, rounds=15, device=options.device)
    if network.device.type == "cuda":
        table["machine"]["device"] = torch.cuda.get_device_name(network.device)
        table["peak_device_bytes"] = torch.cuda.max_memory_allocated(network.device)
    table["pairs_per_hour"] = rows
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(table, indent=2) + "\n")
    for name in ("per_evaluation_ratio", "time_to_seed_loss_ratio"):
        print(f"{name}: {table[name] or 'not reached'}")


if __name__ == "__main__":
    main()
