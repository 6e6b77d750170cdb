"""What an ingestion tells: lines for people, fields for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["batch", "nothing", "passed_over", "poison", "left", "trouble", "stopped"]


@dataclass(frozen=True)
class Told:
    """One thing that happened. `line` is for people; `is_answer` says whether it is what they came for."""

    event: Kind
    line: str
    fields: dict[str, Any]
    is_answer: bool = False


Tell = Callable[[Told], None]


@dataclass
class Totals:
    """What came of an ingestion; `left` counts messages that stay on the queue for people to look at."""

    messages: int = 0
    batches: int = 0
    pairs: int = 0
    objects: int = 0
    rejected: int = 0
    left: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)

    def fields(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "batches": self.batches,
            "pairs": self.pairs,
            "objects": self.objects,
            "rejected": self.rejected,
            "left": self.left,
            "passed_over": dict(sorted(self.passed_over.items())),
        }


def counted(count: int, thing: str, things: str | None = None) -> str:
    """`1 batch`, `2 batches`."""
    return f"{count:,} {thing if count == 1 else (things or f'{thing}s')}"
