"""A batch as it goes: what changed, and where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from impasto.producer.waiting import Tick, without_ticks
from impasto.shared.errors import Transient
from impasto.shared.ledger import BatchStatus, Event, Ledger, RunningPair

_BLOCK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Update:
    """The batch at one moment, and the events since the update before."""

    status: BatchStatus
    running: Sequence[RunningPair]
    events: Sequence[Event]

    @property
    def is_last(self) -> bool:
        """Whether nothing more will come: every pair is settled."""
        return self.status.is_over


def updates(ledger: Ledger, batch: str, *, every_seconds: float, after: str) -> Iterator[Update]:
    """At once, then whenever something changed, at least every `every_seconds`; ends when the batch is over.

    A ledger that stops answering is waited for. Raises NoSuchBatch at once, and LedgerUnavailable when the
    first question is not answered.
    """
    return without_ticks(ticking_updates(ledger, batch, every_seconds=every_seconds, after=after))


def ticking_updates(
    ledger: Ledger, batch: str, *, every_seconds: float, after: str
) -> Iterator[Update | Tick]:
    """The same, with a tick at least every second."""
    untold: list[Event] = []
    due_at = began_at = time.monotonic()

    def read_events(block_seconds: float) -> None:
        nonlocal after
        untold.extend(ledger.events(batch, after=after, block_seconds=block_seconds))
        after = untold[-1].id if untold else after

    while True:
        try:
            read_events(0.0 if untold else min(_BLOCK_SECONDS, max(0.0, due_at - time.monotonic())))
            if not untold and time.monotonic() < due_at:
                yield Tick.TICK
                continue
            status = ledger.status(batch)
            running = ledger.running(batch) if status.running else []
            if status.is_over:
                # What happened between the two questions belongs to the last update.
                read_events(0.0)
        except Transient:
            if due_at == began_at:
                raise
            time.sleep(min(_BLOCK_SECONDS, every_seconds))
            yield Tick.TICK
            continue
        yield Update(status, running, tuple(untold))
        if status.is_over:
            return
        untold.clear()
        due_at = time.monotonic() + every_seconds
