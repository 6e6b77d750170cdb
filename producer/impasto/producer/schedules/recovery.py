"""Schedules from the store, into a Redis that was emptied."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from impasto.producer.connection import Connection
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries, beat_app
from impasto.producer.schedules.hours import give_hours
from impasto.producer.schedules.spec import ScheduleSpec, schedule_of
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ObjectMissing
from impasto.shared.jobs import BatchSpec


def recover_schedules(connection: Connection, problems: list[str]) -> tuple[str, ...]:
    """The names of those that Redis did not know; what can't be read is one more line of `problems`.

    Each goes on as if no beat had been there since it was made: a fire that was missed meanwhile is done
    late, once, and one that had been done already finds its own batch or nothing new. Raises
    LedgerUnavailable, StoreUnavailable.
    """
    located = connection.deployment
    entries = Entries(
        beat_app(located, located.redis_url or ""),
        connection.redis,
        Book(connection.redis, located.namespace),
    )
    recovered: list[str] = []
    for info in list(connection.store.list(layout.SCHEDULES)):
        name, _, rest = info.key.removeprefix(layout.SCHEDULES).partition("/")
        if rest != layout.SCHEDULE_NAME or entries.find(name) is not None:
            continue
        try:
            spec = ScheduleSpec.from_json(connection.store.get(info.key))
        except (BadSettings, ObjectMissing) as error:
            problems.append(f"schedule {name}: {error}")
            continue
        if entries.add(spec, last_run_at=spec.created_at):
            recovered.append(spec.name)
    return tuple(recovered)


def take_up(connection: Connection, batches: Iterable[BatchSpec]) -> None:
    """Batches that go on are their schedules' again: their hours count, and later fires see them."""
    located = connection.deployment
    book = Book(connection.redis, located.namespace)
    entries = Entries(beat_app(located, located.redis_url or ""), connection.redis, book)
    for batch in batches:
        name = schedule_of(batch.token)
        entry = None if name is None else entries.find(name)
        if name is None or entry is None or connection.ledger.status(batch.batch).is_over:
            continue
        state = book.state(name)
        if batch.batch not in state.open_batches:
            known = (*state.open_batches, batch.batch)
            book.put_state(name, state.model_copy(update={"open_batches": known}))
        if entry.spec.hours is not None:
            give_hours(connection, book, batch.batch, entry.spec.hours, datetime.now(UTC))
