"""What a run tells: the losses of each step and the finished picture."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class StepLosses:
    """Where the run stands after an evaluation of loss and gradient.

    `step` counts evaluations from 1 over the whole run, `steps` is how many are planned (a run that can't get
    lower stops sooner). `scale_px` is the longer side of the scale at hand. The losses carry their weights,
    so `total` is their sum; they are those of the picture that the optimiser holds after this evaluation: a
    trial it refused is not shown, and a scale's last entry is its best picture.
    """

    step: int
    steps: int
    scale_px: int
    content: float
    style: float
    tv: float
    total: float


@dataclass(frozen=True)
class StyleResult:
    """The picture (RGB, 8 bit) and how it came about.

    `steps` is the number of evaluations done; `timings` are seconds (`targets`, `optimise`); `precision` is
    what the convolutions computed in; `recoveries` counts divergences that were noticed and undone; `notes`
    say what a person should know, such as that it was made in tiles.
    """

    image: Image.Image
    losses: list[StepLosses]
    steps: int
    timings: dict[str, float]
    precision: str
    device: str
    recoveries: int
    notes: tuple[str, ...] = ()
