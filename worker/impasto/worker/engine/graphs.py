"""Evaluations as CUDA graphs: a few hundred small launches handed to the device as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from impasto.shared.settings import StyleSettings
from impasto.worker.engine.optimise import Evaluate
from impasto.worker.engine.terms import Evaluation, Terms

# Runs before the recording, in which libraries choose their algorithms and take their memory.
_WARM_UPS: Final = 3


def graphed(evaluate: Evaluate, settings: StyleSettings, device: torch.device) -> Evaluate:
    """The same function, recorded at its first call where that can be done: on CUDA, and not for the
    `wasserstein` statistic, whose eigenvalues make the host wait.
    """
    if device.type != "cuda" or settings.style_statistic == "wasserstein":
        return evaluate
    return _Graphed(evaluate)


@dataclass(frozen=True)
class _Recording:
    """A graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    pictures: Tensor
    answer: Evaluation


class _Graphed:
    """Records at the first pictures; all later ones must have their shape."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._recorded: _Recording | None = None

    def __call__(self, pictures: Tensor) -> Evaluation:
        if self._recorded is None:
            with torch.cuda.device(pictures.device):
                self._recorded = _record(self._evaluate, pictures)
        self._recorded.pictures.copy_(pictures)
        self._recorded.graph.replay()
        # The next replay writes over what this one told.
        terms, gradient = self._recorded.answer.terms, self._recorded.answer.gradient
        return Evaluation(
            Terms(terms.content.clone(), terms.style.clone(), terms.tv.clone()), gradient.clone()
        )


def _record(evaluate: Evaluate, like: Tensor) -> _Recording:
    """Streams are the current device's, which must be that of the pictures: what runs on another's is not
    recorded, and its replay would tell nothing new.
    """
    pictures = like.clone()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            evaluate(pictures)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = evaluate(pictures)
    return _Recording(graph, pictures, answer)
