from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from impasto.producer import Client
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.hours import give_hours, keep_hours
from impasto.producer.schedules.window import Window
from impasto.shared.ledger import BatchState

NIGHT = Window.parse("22:00-06:00", "Europe/Berlin")
EVENING = datetime(2026, 10, 24, 18, 0, tzinfo=UTC)
OPENED = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
CLOSED = datetime(2026, 10, 25, 5, 0, tzinfo=UTC)  # the clocks went back: 06:00 is an hour later
A_MINUTE = timedelta(minutes=1)


@pytest.fixture
def state_at(client: Client, book: Book, photos: Path, tmp_path: Path) -> Callable[[datetime], BatchState]:
    """The state of a batch that was given its hours in the evening, after its beat looked at that time."""
    painting = tmp_path / "painting.png"
    painting.write_bytes((photos / "photo 0.png").read_bytes())
    batch = client.submit(photos, painting, settings={"size_px": 32, "steps": 2}).batch
    assert batch is not None
    give_hours(client.connection, book, batch, NIGHT, EVENING)

    def at(now: datetime) -> BatchState:
        keep_hours(client.connection, book, now)
        return client.status(batch).state

    return at


def test_outside_its_hours_a_batch_pauses_and_in_the_next_night_it_goes_on(
    client: Client, book: Book, state_at: Callable[[datetime], BatchState]
) -> None:
    expected = [
        (EVENING, BatchState.PAUSED),
        (OPENED - A_MINUTE, BatchState.PAUSED),
        (OPENED, BatchState.ACTIVE),
        (CLOSED - A_MINUTE, BatchState.ACTIVE),
        (CLOSED, BatchState.PAUSED),
        (OPENED + timedelta(days=1, hours=1), BatchState.ACTIVE),
        (OPENED + timedelta(days=1, hours=1), BatchState.ACTIVE),
    ]
    assert [(now, state_at(now)) for now, _ in expected] == expected

    client.cancel("latest")
    state_at(CLOSED + timedelta(days=1))
    assert book.hours() == {}


def test_hours_that_this_machine_cannot_tell_leave_other_batches_theirs(
    book: Book, state_at: Callable[[datetime], BatchState]
) -> None:
    assert state_at(OPENED) is BatchState.ACTIVE
    (batch,) = book.hours()
    hours = book.hours()[batch]
    book.drop_hours(batch)
    book.put_hours("elsewhere", hours.model_copy(update={"timezone": "Mars/Olympus"}))
    book.put_hours(batch, hours)
    assert list(book.hours()) == ["elsewhere", batch]
    assert state_at(CLOSED) is BatchState.PAUSED


def test_what_a_person_paused_the_window_never_resumes(
    client: Client, state_at: Callable[[datetime], BatchState]
) -> None:
    assert state_at(OPENED) is BatchState.ACTIVE
    client.pause("latest")
    assert state_at(CLOSED) is BatchState.PAUSED
    assert state_at(OPENED + timedelta(days=1)) is BatchState.PAUSED
    client.resume("latest")
    assert state_at(CLOSED + timedelta(days=1)) is BatchState.PAUSED
    client.pause("latest")
    assert state_at(OPENED + timedelta(days=2)) is BatchState.PAUSED


def test_what_a_person_resumes_outside_the_hours_runs_until_the_window_closes_again(
    client: Client, state_at: Callable[[datetime], BatchState]
) -> None:
    assert state_at(EVENING) is BatchState.PAUSED
    client.resume("latest")
    assert state_at(OPENED - A_MINUTE) is BatchState.ACTIVE
    assert state_at(OPENED) is BatchState.ACTIVE
    assert state_at(CLOSED) is BatchState.PAUSED
