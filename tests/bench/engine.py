"""The engine against the seed text's program, in one run on one machine.

Counts of evaluations are the same whatever else the machine does; seconds are wall clock, with the process's
own processor seconds beside them, which a busy machine disturbs less.
"""

from __future__ import annotations

import math
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tests.bench.pairs import BenchPair, bench_pairs
from tests.bench.peak import evaluation_flops, share_of_peak
from tests.bench.seed_program import SeedProgram, SeedRun, run_seed_program

from impasto.worker.engine import Network, StepLosses, StyleSettings, TargetCache, load_network, stylize
from impasto.worker.engine.device import resolve_precision
from impasto.worker.engine.graphs import graphed
from impasto.worker.engine.images import to_tensor
from impasto.worker.engine.objective import Objective
from impasto.worker.engine.targets import compute_targets

SEED_EVALUATIONS = 300
WITHIN = 1.02
_EVALUATION_PX = 256
_LONGEST_SEARCH = 300


@dataclass(frozen=True)
class Curve:
    """Loss after each evaluation, as a multiple of the seed program's best, and when it was known."""

    ratios: list[float]
    seconds: list[float]


@dataclass(frozen=True)
class PairOutcome:
    """One pair: both sides' whole runs. `steps` is None where 300 evaluations did not come within reach.

    `seed_last` is where the seed program ends after its 300 evaluations, which may be far from its best.
    """

    pair: str
    seed_best: float
    seed_last: float
    seed_evaluations_to_within: int
    seed_seconds: float
    seed_cpu_seconds: float
    steps: int | None
    score: float
    seconds: float
    cpu_seconds: float
    precision: str
    recoveries: int

    @property
    def ratio(self) -> float:
        return self.seed_seconds / self.seconds

    @property
    def cpu_ratio(self) -> float:
        return self.seed_cpu_seconds / self.cpu_seconds


def bench_engine(
    size_px: int, count: int, rounds: int, device: str = "cpu"
) -> tuple[dict[str, Any], dict[str, tuple[Curve, Curve]]]:
    """All measures as one table, and by pair the curves (the seed program's, ours) for the plot."""
    network = load_network("caffe", device=device)
    per_evaluation = _per_evaluation(network, rounds)
    outcomes: list[PairOutcome] = []
    curves: dict[str, tuple[Curve, Curve]] = {}
    for pair in bench_pairs(size_px, count):
        outcome, both = _run_pair(pair, size_px, network)
        outcomes.append(outcome)
        curves[pair.name] = both
        print(
            f"{pair.name}: {outcome.steps} evaluations instead of {SEED_EVALUATIONS}, "
            f"{outcome.ratio:.2f} times sooner (processor time {outcome.cpu_ratio:.2f})",
            flush=True,
        )
    reached = all(outcome.steps is not None for outcome in outcomes)
    table = {
        "machine": machine(),
        "per_evaluation": per_evaluation,
        "per_evaluation_ratio": per_evaluation["ratio"],
        "time_to_seed_loss_ratio": geometric_mean([o.ratio for o in outcomes]) if reached else None,
        "time_to_seed_loss_cpu_ratio": geometric_mean([o.cpu_ratio for o in outcomes]) if reached else None,
        "evaluations": geometric_mean([o.steps or _LONGEST_SEARCH for o in outcomes]),
        "size_px": size_px,
        "within": WITHIN,
        "pairs": [{**asdict(o), "ratio": o.ratio, "cpu_ratio": o.cpu_ratio} for o in outcomes],
    }
    return table, curves


def _settings(size_px: int, steps: int) -> StyleSettings:
    return StyleSettings.preset("tutorial", size_px=size_px, steps=steps)


def _per_evaluation(network: Network, rounds: int) -> dict[str, Any]:
    """Seconds of one evaluation of loss and gradient at 256 px, the best of several, in turns."""
    pair = bench_pairs(_EVALUATION_PX, 1)[0]
    settings = _settings(_EVALUATION_PX, 1)
    dtype = resolve_precision(settings.precision, network.device)
    targets = compute_targets(pair.content, pair.style, settings, network, dtype, TargetCache())
    objective = graphed(Objective(targets, settings, network, dtype), settings, network.device)
    picture = to_tensor(pair.content, network.device)
    program = SeedProgram(picture, to_tensor(pair.style, network.device), network)

    def seed_evaluation() -> None:
        program.loss(picture.clone().requires_grad_()).backward()  # type: ignore[no-untyped-call]

    sides: dict[str, list[float]] = {"seed": [], "ours": []}
    for _ in range(rounds):
        for name, evaluate in (("seed", seed_evaluation), ("ours", lambda: objective(picture))):
            wait_for(network.device)
            began = time.perf_counter()
            evaluate()
            wait_for(network.device)
            sides[name].append(time.perf_counter() - began)
    seed, ours = min(sides["seed"]), min(sides["ours"])
    layers = (*settings.content_layers, *settings.style_layers)
    trunk = network.trunk(layers, pooling=settings.pooling, dtype=dtype)
    flops = evaluation_flops(trunk, settings.style_layers, _EVALUATION_PX**2)
    return {
        "seed_seconds": seed,
        "seconds": ours,
        "ratio": seed / ours,
        "precision": str(dtype)[6:],
        **share_of_peak(flops, ours),
    }


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _run_pair(pair: BenchPair, size_px: int, network: Network) -> tuple[PairOutcome, tuple[Curve, Curve]]:
    content, style = to_tensor(pair.content, network.device), to_tensor(pair.style, network.device)
    began, cpu_began = time.perf_counter(), time.process_time()
    seed = run_seed_program(content, style, network, SEED_EVALUATIONS)
    wait_for(network.device)
    seed_seconds, seed_cpu = time.perf_counter() - began, time.process_time() - cpu_began
    program = SeedProgram(content, style, network)
    target = WITHIN * seed.best

    curve = _curve(pair, size_px, network, seed)
    steps = next((i for i, ratio in enumerate(curve.ratios, 1) if ratio <= WITHIN), _LONGEST_SEARCH)
    while True:
        began, cpu_began = time.perf_counter(), time.process_time()
        result = stylize(pair.content, pair.style, _settings(size_px, steps), network)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        score = program.score(to_tensor(result.image, network.device))
        if score <= target or steps >= _LONGEST_SEARCH:
            break
        # Rounding to 8 bits, or the precision, took what was missing.
        steps = min(_LONGEST_SEARCH, steps + max(1, steps // 50))
    outcome = PairOutcome(
        pair=pair.name,
        seed_best=seed.best,
        seed_last=seed.losses[-1],
        seed_evaluations_to_within=next(i for i, loss in enumerate(seed.losses, 1) if loss <= target),
        seed_seconds=seed_seconds,
        seed_cpu_seconds=seed_cpu,
        steps=steps if score <= target else None,
        score=score / seed.best,
        seconds=seconds,
        cpu_seconds=cpu,
        precision=result.precision,
        recoveries=result.recoveries,
    )
    theirs = Curve([loss / seed.best for loss in seed.losses], seed.seconds)
    return outcome, (theirs, curve)


class _Reached(Exception):
    pass


def _curve(pair: BenchPair, size_px: int, network: Network, seed: SeedRun) -> Curve:
    """Our losses until within reach of the seed program's best."""
    curve = Curve([], [])
    began = time.perf_counter()

    def watch(step: StepLosses) -> None:
        curve.ratios.append(step.total / seed.best)
        curve.seconds.append(time.perf_counter() - began)
        if curve.ratios[-1] <= WITHIN:
            raise _Reached

    with suppress(_Reached):
        stylize(pair.content, pair.style, _settings(size_px, _LONGEST_SEARCH), network, on_step=watch)
    return curve


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def machine() -> dict[str, Any]:
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
