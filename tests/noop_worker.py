"""A whole worker but for its engine: what the queue promises and costs, without what the pixels cost.

Run as a program it is `python -m impasto.worker`, with the package `impasto.worker.engine` replaced by a
stand-in that gives the content back, and with torch, which only the engine needs, never imported. Everything
else is the worker's own. How long a pair takes and how many steps that is comes from the environment; a
picture with a corner of the colour `POISON` kills the process once its pair is at its second step, one of
`FLAKY` is a fault that nobody foresaw, and one of `GREEDY` is too large for the device in whatever tiles.
Where `DEVICE` is "breaks", one of `BREAKING` breaks the device for as long as the process lives; where it is
"hangs", one of `STUCK` never comes to its second step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from PIL import Image

SECONDS: Final = "NOOP_SECONDS"
"""Of one pair; 0 when unset."""
STEPS: Final = "NOOP_STEPS"
"""Of one pair; 1 when unset."""
LATE: Final = "NOOP_LATE_SECONDS"
"""After the grace period, until a stop that can't be polite ends; the worker's own when unset."""
DEVICE: Final = "NOOP_DEVICE"
"""What may befall it: "breaks" or "hangs"; nothing when unset."""
POISON: Final = (255, 0, 255)
FLAKY: Final = (0, 255, 255)
GREEDY: Final = (255, 255, 0)
BREAKING: Final = (255, 0, 0)
STUCK: Final = (0, 0, 255)


@dataclass(frozen=True)
class Device:
    """As much of a torch.device as the worker looks at."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


@dataclass(frozen=True)
class Network:
    """As much of a network as the worker tells of it."""

    architecture: str
    weights: str
    weights_digest: str = "0" * 64
    device: Device = Device()


@dataclass(frozen=True)
class Checkpoint:
    """How far a pair is; `losses` has an entry a step."""

    losses: list[dict[str, float]]

    @property
    def size_bytes(self) -> int:
        return len(self.to_bytes())

    def to_bytes(self) -> bytes:
        return json.dumps(self.losses).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Checkpoint | None:
        return cls(json.loads(data))


class TargetCache:
    """Keeps nothing."""


def stand_in() -> types.ModuleType:
    """A module with all that the worker takes from `impasto.worker.engine`."""
    package = types.ModuleType("impasto.worker.engine")
    parent = find_spec("impasto.worker")
    assert parent is not None
    assert parent.submodule_search_locations is not None
    # Its modules that need no torch are the real ones.
    package.__path__ = [str(Path(next(iter(parent.submodule_search_locations))) / "engine")]
    sys.modules["impasto.worker.engine"] = package
    from impasto.shared.errors import HandedBack
    from impasto.shared.settings import StyleSettings
    from impasto.worker.engine.results import StepLosses, StyleResult

    def load_network(weights: str = "caffe", architecture: str = "vgg19", device: str = "auto") -> Network:
        return Network(architecture, weights)

    def stylize(
        content: Image.Image,
        style: Image.Image,
        settings: StyleSettings,
        network: Network,
        *,
        on_step: Callable[[StepLosses], None],
        checkpoint: Checkpoint | None = None,
        on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None,
        **_: Any,
    ) -> StyleResult:
        began = time.perf_counter()
        seconds, steps = float(os.environ.get(SECONDS, "0")), int(os.environ.get(STEPS, "1"))
        losses = [StepLosses(**entry) for entry in checkpoint.losses] if checkpoint else []
        for step in range(len(losses) + 1, steps + 1):
            if seconds:
                time.sleep(seconds / steps)
            if step == min(2, steps):
                _misbehave(content)
            losses.append(StepLosses(step, steps, settings.size_px, 1.0, 1.0, 0.0, 1.0 / step))
            try:
                on_step(losses[-1])
            except HandedBack:
                on_checkpoint(Checkpoint([asdict(entry) for entry in losses]))
                raise
        return StyleResult(
            image=content,
            losses=losses,
            steps=steps,
            timings={"optimise": time.perf_counter() - began},
            precision="float32",
            device="cpu",
            recoveries=0,
        )

    package.__dict__.update(
        Checkpoint=Checkpoint,
        Network=Network,
        StepLosses=StepLosses,
        StyleResult=StyleResult,
        StyleSettings=StyleSettings,
        TargetCache=TargetCache,
        load_network=load_network,
        stylize=stylize,
    )
    return package


broken: Final = threading.Event()
"""The device answers nothing but errors."""


def _misbehave(content: Image.Image) -> None:
    corner = content.getpixel((0, 0))
    if corner == BREAKING and os.environ.get(DEVICE) == "breaks":
        broken.set()
    if broken.is_set():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if corner == STUCK and os.environ.get(DEVICE) == "hangs":
        threading.Event().wait()
    if corner == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    if corner == FLAKY:
        raise RuntimeError("a fault that nobody foresaw")
    if corner == GREEDY:
        from impasto.shared.errors import OutOfDeviceMemory

        raise OutOfDeviceMemory("the device is out of memory: choose a smaller size_px")


def torch_stand_in() -> types.ModuleType:
    """The few functions that the worker itself calls."""
    torch = types.ModuleType("torch")
    torch.__dict__.update(set_num_threads=lambda threads: None, get_num_threads=lambda: 1)
    return torch


if __name__ == "__main__":
    sys.modules["torch"] = torch_stand_in()
    stand_in()
    from impasto.worker import overdue, probe
    from impasto.worker.__main__ import main

    overdue.LATE_SECONDS = float(os.environ.get(LATE, overdue.LATE_SECONDS))
    probe.trouble_of = lambda device: "CUDA error" if broken.is_set() else None
    main()
