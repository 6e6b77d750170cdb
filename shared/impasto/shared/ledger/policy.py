"""What every implementation of the ledger does alike: its limits and its words."""

from __future__ import annotations

from typing import Final

from impasto.shared.errors import BadSettings, NoSuchBatch, PoisonPair

REPORT_AGAIN_SECONDS: Final = 30.0
"""After which a finished batch without a report is named by a sweep again."""

EMPTY_BROKER_SECONDS: Final = 5.0
"""After which a due pair is published again when the broker holds no message at all."""

LONGEST_AHEAD_SECONDS: Final = 24 * 3600.0
"""How far a lease's or a backoff's end may lie ahead, for a sweep that is not told."""

BATCHES_A_SWEEP: Final = 512
ENDS_A_SWEEP: Final = 64
"""Batches that one sweep names for their report, and that it forgets."""

PAIRS_A_SWEEP: Final = 256
PAIRS_A_RETRY: Final = 1_000
POSTPONED_OUTSIDE_WINDOW: Final = 64
DEAD_LETTERS: Final = 1_000
DEAD_LETTER_CHARACTERS: Final = 16_384
TOKEN_SECONDS: Final = 30 * 24 * 3600
EVENTS_SECONDS: Final = 30 * 24 * 3600


def no_such_batch(batch: str) -> NoSuchBatch:
    """What every ledger raises for a name it does not know."""
    return NoSuchBatch(
        f"no batch is called {batch!r}: check the name, or rebuild the ledger with `impasto recover`"
    )


def checked_priority(batch: str, priority: int) -> int:
    """The priority, or BadSettings where there is no such one."""
    if not 0 <= priority <= 9:
        raise BadSettings(f"priority {priority} of batch {batch!r} is outside 0 to 9")
    return priority


def poison(max_deaths: int) -> dict[str, str]:
    """Kind and message of the failure that a sweep gives to a pair which killed its workers."""
    return {
        "kind": PoisonPair.kind,
        "message": f"a worker died while it ran, {max_deaths} times in all: see the workers' logs, "
        "or try a smaller size_px",
    }
