"""Batches with a window: paused by themselves outside their hours, and on again within them.

The window acts at its edges only. What a person does in between holds until the next edge, and what a person
paused the window never resumes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import structlog

from impasto.producer.connection import Connection
from impasto.producer.schedules.book import Book, Hours
from impasto.producer.schedules.window import Window
from impasto.shared.errors import ImpastoError, NoSuchBatch, Permanent
from impasto.shared.ledger import BatchState, Control

log = structlog.get_logger()


def give_hours(connection: Connection, book: Book, batch: str, window: Window, now: datetime) -> None:
    """From now on the batch runs within the window only."""
    hours = book.hours().get(batch) or Hours(window=str(window), timezone=window.zone.key)
    book.put_hours(batch, hours)
    _keep(connection, book, batch, hours, now)


def keep_hours(connection: Connection, book: Book, now: datetime | None = None) -> None:
    """Pause and resume whose window closed or opened since the last time. Raises LedgerUnavailable.

    What goes wrong with one batch is logged and leaves the others alone.
    """
    moment = now or datetime.now(UTC)
    for batch, hours in book.hours().items():
        try:
            _keep(connection, book, batch, hours, moment)
        except Permanent as error:
            log.error("hours.not_kept", batch=batch, error=str(error))


def taken_over(connection: Connection, batch: str) -> None:
    """A person paused or resumed the batch: from now on the window has no part in its being paused."""
    Book(connection.redis, connection.deployment.namespace).unmark_outside(batch)


def _keep(connection: Connection, book: Book, batch: str, hours: Hours, now: datetime) -> None:
    edge = hours.parsed().last_edge(now)
    if hours.edge is not None and edge.at <= hours.edge:
        return
    ledger = connection.ledger
    try:
        status = ledger.status(batch)
    except NoSuchBatch:
        book.drop_hours(batch)
        return
    if status.state.is_final:
        book.drop_hours(batch)
        return
    if edge.opens and book.is_outside(batch):
        ledger.control(batch, Control.RESUME)
        book.unmark_outside(batch)
        # What can't be published now is found by a worker's sweep.
        with suppress(ImpastoError):
            connection.dispatcher.advance(batch)
        log.info("hours.open", batch=batch, window=hours.window)
    elif not edge.opens and status.state is BatchState.ACTIVE:
        # In this order: a pause that nobody owns would never end.
        book.mark_outside(batch)
        ledger.control(batch, Control.PAUSE)
        log.info("hours.closed", batch=batch, window=hours.window)
    book.put_hours(batch, hours.model_copy(update={"edge": edge.at}))
