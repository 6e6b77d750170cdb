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


def recover_schedules(
    connection: Connection, batches: Iterable[BatchSpec], problems: list[str]
) -> tuple[str, ...]:
    """The names of those that Redis did not know; what can't be read is one more line of `problems`.

    Each goes on as if no beat had been there since it was made: a fire that was missed meanwhile is done
    late, once, and one that had been done already finds its own batch or nothing new. `batches` were rebuilt
    before: those that go on are their schedules' again. Raises LedgerUnavailable, StoreUnavailable.
    """
    located = connection.deployment
    book = Book(connection.redis, located.namespace)
    entries = Entries(beat_app(located, located.redis_url or ""), connection.redis, book)
    going_on = [one for one in batches if not connection.ledger.status(one.batch).is_over]
    recovered: list[str] = []
    for info in list(connection.store.list(layout.SCHEDULES)):
        name, _, rest = info.key.removeprefix(layout.SCHEDULES).partition("/")
        if rest != layout.SCHEDULE_NAME:
            continue
        try:
            spec = ScheduleSpec.from_json(connection.store.get(info.key))
        except (BadSettings, ObjectMissing) as error:
            problems.append(f"schedule {name}: {error}")
            continue
        # Before it may fire: a fire must see what is not over.
        _take_up(connection, book, spec, [one.batch for one in going_on if schedule_of(one.token) == name])
        if entries.add(spec, last_run_at=spec.created_at):
            recovered.append(spec.name)
    return tuple(recovered)


def _take_up(connection: Connection, book: Book, spec: ScheduleSpec, batches: list[str]) -> None:
    if not batches:
        return
    state = book.state(spec.name)
    known = tuple(dict.fromkeys((*state.open_batches, *batches)))
    book.put_state(spec.name, state.model_copy(update={"open_batches": known}))
    if spec.hours is not None:
        for batch in batches:
            give_hours(connection, book, batch, spec.hours, datetime.now(UTC))
