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
    events: list[Event] = []
    first = True
    while True:
        try:
            # The status is asked after the events were read, so the last update never lacks its last event.
            status = ledger.status(batch)
            running = ledger.running(batch) if status.running else []
            if status.is_over:
                events += ledger.events(batch, after=after)
        except Transient:
            if first:
                raise
            time.sleep(every_seconds)
            continue
        first = False
        yield Update(status, running, tuple(events))
        if status.is_over:
            return
        after = events[-1].id if events else after
        try:
            events = ledger.events(batch, after=after, block_seconds=every_seconds)
        except Transient:
            events = []
            time.sleep(every_seconds)
