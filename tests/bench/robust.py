"""Whether any of forty odd pairs diverges: whole runs of them, the presets in turns.

What is told comes from the run; the answer is the finished picture of 8 bits, evaluated anew.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.engine import machine

from impasto.shared.errors import ImpastoError
from impasto.worker.engine import Network, StyleSettings, load_network, stylize
from odd_pairs import KINDS, OddPair, odd_pairs, rescored

SIZE_PX = 128
STEPS = 100
PRESETS = ("tutorial", "gatys", "gallery")


@dataclass(frozen=True)
class OddOutcome:
    """One run. `error` is what it ended in, None for a picture; `last` is NaN where any loss was not finite.

    `recoveries` counts divergences that were noticed and undone.
    """

    pair: str
    preset: str
    content_px: tuple[int, int]
    style_px: tuple[int, int]
    evaluations: int
    first: float
    last: float
    answer: float
    recoveries: int
    cpu_seconds: float
    error: str | None

    @property
    def sound(self) -> bool:
        """Everything that was told is finite, and the finished picture is no worse than the start."""
        told = all(math.isfinite(value) for value in (self.first, self.last, self.answer))
        return self.error is None and told and self.answer <= self.first * 1.001


def bench_robust(size_px: int = SIZE_PX, steps: int = STEPS) -> dict[str, Any]:
    """All forty, as one table; a line of each is printed as it is done."""
    network = load_network("caffe", device="cpu")
    outcomes = []
    for number, pair in enumerate(odd_pairs(size_px)):
        preset = PRESETS[(number + number // len(KINDS)) % len(PRESETS)]
        # One scale, so that first and last loss are of the same size.
        settings = StyleSettings.preset(preset, size_px=size_px, steps=steps, coarsest_px=None)
        outcome = _run(pair, preset, settings, network)
        outcomes.append(outcome)
        print(
            f"{pair.name} ({preset}): {outcome.first:.4g} → {outcome.answer:.4g} "
            f"in {outcome.evaluations} evaluations, {outcome.recoveries} undone"
            + ("" if outcome.sound else f": NOT SOUND {outcome.error or ''}"),
            flush=True,
        )
    return {
        "machine": machine(),
        "size_px": size_px,
        "steps": steps,
        "pairs": [{**asdict(outcome), "sound": outcome.sound} for outcome in outcomes],
        "not_sound": [outcome.pair for outcome in outcomes if not outcome.sound],
        "recoveries": sum(outcome.recoveries for outcome in outcomes),
    }


def write(out: Path) -> None:
    """Into robust.json; exits with 1 where a run was not sound."""
    table = bench_robust()
    out.mkdir(parents=True, exist_ok=True)
    (out / "robust.json").write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    count, wrong = len(table["pairs"]), table["not_sound"]
    print(f"robust: {count - len(wrong)} of {count} sound, {table['recoveries']} divergences undone")
    if wrong:
        raise SystemExit(1)


def _run(pair: OddPair, preset: str, settings: StyleSettings, network: Network) -> OddOutcome:
    told: list[float] = []
    began = time.process_time()
    answer, recoveries, failed = math.nan, 0, None
    try:
        result = stylize(
            pair.content, pair.style, settings, network, on_step=lambda step: told.append(step.total)
        )
        recoveries = result.recoveries
        answer = rescored(pair, settings, network, result.image)
    except ImpastoError as error:
        failed = f"{type(error).__name__}: {error}"
    return OddOutcome(
        pair=pair.name,
        preset=preset,
        content_px=pair.content.size,
        style_px=pair.style.size,
        evaluations=len(told),
        first=told[0] if told else math.nan,
        last=told[-1] if told and all(map(math.isfinite, told)) else math.nan,
        answer=answer,
        recoveries=recoveries,
        cpu_seconds=time.process_time() - began,
        error=failed,
    )
