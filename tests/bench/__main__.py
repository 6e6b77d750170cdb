"""`python -m tests.bench`: measures engine, batches, queue and collections into build/bench/.

`--quick` takes minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the helpers of the tests lie


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", choices=("engine", "queue", "collection"), help="one of the three; all when left out"
    )
    parser.add_argument("--quick", action="store_true", help="128 px instead of 256 px, fewer workers")
    parser.add_argument("--size-px", type=int, help="side of the pictures of the whole runs")
    parser.add_argument("--pairs", type=int, default=6, help="how many pairs, 1 to 8")
    parser.add_argument("--robust", action="store_true", help="only whether any of forty odd pairs diverges")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where the files go")
    options = parser.parse_args()
    if options.robust:
        from tests.bench.robust import write as write_robust

        write_robust(options.out)
        return
    if options.only in (None, "engine"):
        measure_engine(options)
    if options.only in (None, "queue"):
        from tests.bench.queue import write

        write(options.out, quick=options.quick)
    if options.only in (None, "collection"):
        from tests.bench.collection import write as write_collection

        write_collection(options.out, quick=options.quick)


def measure_engine(options: argparse.Namespace) -> None:
    """Engine and batches, into engine.json and engine.png."""
    # The queue is measured without torch in memory.
    import torch
    from tests.bench.batch import measure as measure_batch
    from tests.bench.engine import bench_engine
    from tests.bench.plot import plot_curves, plot_sizes
    from tests.bench.sizes import measure as measure_sizes

    from impasto.worker.heap import keep_freed_memory

    # As a worker does; the seed's program, in the same process, has it too.
    keep_freed_memory()
    size_px = options.size_px or (128 if options.quick else 256)
    table, curves = bench_engine(size_px, options.pairs, rounds=5 if options.quick else 15)
    table |= measure_batch(threads=torch.get_num_threads(), quick=options.quick)
    table |= measure_sizes(quick=options.quick)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "engine.json").write_text(json.dumps(table, indent=2) + "\n")
    plot_curves(curves).save(options.out / "engine.png")
    plot_sizes(table["sizes"]).save(options.out / "sizes.png")
    measures = (
        "per_evaluation_ratio",
        "time_to_seed_loss_ratio",
        "time_to_seed_loss_cpu_ratio",
        "pairs_per_hour_ratio",
        "tiled_peak_rss_bytes",
    )
    for measure in measures:
        print(f"{measure}: {table[measure] or 'not reached, or left out by --quick'}")


main()
