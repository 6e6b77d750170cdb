"""A batch as it goes: what changed, and where it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from impasto.shared.errors import Transient
from impasto.shared.ledger import BatchStatus, Event, Ledger, RunningPair


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
    untold: list[Event] = []
    block_seconds = 0.0

    def read_events(block_seconds: float) -> None:
        nonlocal after
        untold.extend(ledger.events(batch, after=after, block_seconds=block_seconds))
        after = untold[-1].id if untold else after

    while True:
        try:
            read_events(block_seconds)
            status = ledger.status(batch)
            running = ledger.running(batch) if status.running else []
            if status.is_over:
                # What happened between the two questions belongs to the last update.
                read_events(0.0)
        except Transient:
            if block_seconds == 0:
                raise
            time.sleep(every_seconds)
            continue
        yield Update(status, running, tuple(untold))
        if status.is_over:
            return
        untold.clear()
        block_seconds = every_seconds
