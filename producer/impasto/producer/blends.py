"""Blends: one style of several paintings, each with a weight."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from impasto.producer.kinds import Kind
from impasto.producer.memory import Picture
from impasto.producer.sources import Candidate, ListObjects, Rejected, Source, find, find_single, name_of
from impasto.shared.errors import BadSettings
from impasto.shared.jobs import LARGEST_WEIGHT, LEAST_WEIGHT, MAX_PAINTINGS
from impasto.shared.printable import printable


@dataclass(frozen=True)
class Blend:
    """A style of a batch made of several paintings, under a name of its own.

    `paintings`: from file, address (`s3://…`, `store:…`) or `Picture` to weight, at most eight; only the
    weights' ratio counts. Raises BadSettings.
    """

    name: str
    paintings: Mapping[str | Path | Picture, float]

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= 200 and self.name.isprintable() and self.name.strip()):
            raise BadSettings("a blend's name must have 1 to 200 printable characters")
        if not 1 <= len(self.paintings) <= MAX_PAINTINGS:
            raise BadSettings(
                f"blend {self.name} has {len(self.paintings)} paintings: give 1 to {MAX_PAINTINGS}"
            )
        for painting, weight in self.paintings.items():
            if not (math.isfinite(weight) and LEAST_WEIGHT <= weight <= LARGEST_WEIGHT):
                raise BadSettings(
                    f"blend {self.name} gives {printable(name_of(painting))} the weight {weight:g}: "
                    f"give a number from {LEAST_WEIGHT:f} to {LARGEST_WEIGHT:.0f}, or leave it out"
                )


@dataclass(frozen=True)
class BlendCandidate:
    """A blend whose paintings may be pictures. Of one that is `left_out` only its place is left."""

    name: str
    paintings: tuple[tuple[Candidate, float], ...] = ()
    left_out: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(candidate.size_bytes for candidate, _ in self.paintings)


StyleCandidate = Candidate | BlendCandidate


@dataclass
class FoundStyles:
    """What the sources of styles stand for, in their order; `unplaced` and `kinds` as in `Found`."""

    candidates: list[StyleCandidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    unplaced: list[Rejected] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)


def find_styles(sources: Iterable[Source | Blend], *, list_objects: ListObjects) -> FoundStyles:
    """All single styles and blends. A painting that is not one picture rejects its blend.

    Raises as `find`.
    """
    styles = FoundStyles()
    for source in sources:
        if isinstance(source, Blend):
            answer = _find_blend(source, list_objects)
            if isinstance(answer, Rejected):
                styles.rejected.append(answer)
                answer = BlendCandidate(source.name, left_out=True)
            styles.candidates.append(answer)
        else:
            found = find([source], list_objects=list_objects)
            styles.candidates += found.candidates
            styles.rejected += found.rejected
            styles.unplaced += found.unplaced
            styles.kinds += found.kinds
    return styles


def of_blend(name: str, painting: str, error: str) -> Rejected:
    """The blend, rejected for one of its paintings."""
    return Rejected(name, f"its painting {printable(painting)}: {error}")


def _find_blend(blend: Blend, list_objects: ListObjects) -> BlendCandidate | Rejected:
    paintings: list[tuple[Candidate, float]] = []
    for source, weight in blend.paintings.items():
        found = find_single(source, list_objects=list_objects)
        if isinstance(found, Rejected):
            return of_blend(blend.name, name_of(source), found.error)
        paintings.append((found, weight))
    return BlendCandidate(blend.name, tuple(paintings))
