from __future__ import annotations

import pytest

from impasto.producer.watch import updates
from impasto.shared.errors import LedgerUnavailable, NoSuchBatch
from impasto.shared.ledger import BatchOpening, BatchStatus, Control, EventType
from impasto.shared.ledger.memory import MemoryLedger


class Flickering(MemoryLedger):
    """A ledger that does not answer the next `refusals` questions for a status."""

    refusals = 0

    def status(self, batch: str) -> BatchStatus:
        if self.refusals:
            self.refusals -= 1
            raise LedgerUnavailable("Redis is down for a moment")
        return super().status(batch)


def test_a_ledger_that_is_down_for_a_while_loses_the_watcher_no_event() -> None:
    ledger = Flickering()
    ledger.open(BatchOpening("b", 3, "b"))
    watching = updates(ledger, "b", every_seconds=0.01, after="0")
    told = list(next(watching).events)
    ledger.control("b", Control.PAUSE)
    ledger.refusals = 2
    told += next(watching).events
    assert ledger.refusals == 0
    ledger.control("b", Control.CANCEL)
    last = next(update for update in watching if update.is_last)
    told += last.events
    assert [event.type for event in told] == [
        EventType.BATCH_OPENED,
        EventType.BATCH_PAUSED,
        EventType.BATCH_CANCELLED,
        EventType.BATCH_FINISHED,
    ]


def test_a_ledger_that_never_answered_is_an_error_at_once() -> None:
    ledger = Flickering()
    ledger.refusals = 1
    with pytest.raises(LedgerUnavailable):
        next(updates(ledger, "b", every_seconds=0.01, after="0"))


def test_a_batch_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(NoSuchBatch):
        next(updates(MemoryLedger(), "b", every_seconds=0.01, after="0"))


def test_watching_goes_on_after_the_event_that_was_seen_last() -> None:
    ledger = MemoryLedger()
    ledger.open(BatchOpening("b", 3, "b"))
    (opened,) = next(updates(ledger, "b", every_seconds=0.01, after="0")).events
    ledger.control("b", Control.PAUSE)
    (paused,) = next(updates(ledger, "b", every_seconds=0.01, after=opened.id)).events
    assert paused.type is EventType.BATCH_PAUSED
