"""`python -m tests.bench`: measures the engine into build/bench/. `--quick` takes minutes, not an hour."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.bench.engine import bench_engine
from tests.bench.plot import plot_curves


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="128 px instead of 256 px")
    parser.add_argument("--size-px", type=int, help="side of the pictures of the whole runs")
    parser.add_argument("--pairs", type=int, default=6, help="how many pairs, 1 to 8")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the files go")
    options = parser.parse_args()
    size_px = options.size_px or (128 if options.quick else 256)
    table, curves = bench_engine(size_px, options.pairs, rounds=5 if options.quick else 15)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "engine.json").write_text(json.dumps(table, indent=2) + "\n")
    plot_curves(curves).save(options.out / "engine.png")
    for measure in ("per_evaluation_ratio", "time_to_seed_loss_ratio", "time_to_seed_loss_cpu_ratio"):
        print(f"{measure}: {table[measure] or 'not reached'}")


main()
