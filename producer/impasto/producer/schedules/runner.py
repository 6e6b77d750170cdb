"""Does what fired: once a fire, one of a schedule at a time, and again by the next beat if this one ends."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import structlog

from impasto.producer.client import Client
from impasto.producer.nights import run_night, tell_of_none
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries
from impasto.producer.schedules.hours import give_hours
from impasto.producer.schedules.records import Fire, FireResult
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.shared import layout
from impasto.shared.errors import ImpastoError, NoSuchBatch, Permanent, Transient
from impasto.shared.printable import printable

log: Any = structlog.get_logger()

PUNCTUAL: Final = timedelta(minutes=2)
"""How late a fire may be noticed and still not be missed: as long as a standby may take to take over."""

_AT_ONCE: Final = 4
_MOST_ATTEMPTS: Final = 3
_FIRST_WAIT_SECONDS: Final = 5.0
_LONGEST_WAIT_SECONDS: Final = 300.0

Outcome = Literal["submitted", "nothing_new", "skipped", "missed", "failed"]


class Runner:
    """`turn` begins what is to be done, each fire on a thread of its own, and comes back at once."""

    def __init__(self, client: Client, entries: Entries, book: Book) -> None:
        self._client = client
        self._entries = entries
        self._book = book
        self._lock = threading.Lock()
        self._in_hand: dict[str, Fire] = {}
        self._waits: dict[str, tuple[float, float]] = {}

    def turn(self) -> None:
        """Begin what nobody does yet, the oldest first. Raises LedgerUnavailable."""
        before: set[str] = set()
        queued: set[str] = set()
        for fire in self._book.fires():
            if fire.schedule in queued:
                # One that waits does by then all there is to do: more of them would only grow a line.
                self._settle(fire, "skipped", "an earlier fire waits for its turn already")
            elif fire.schedule not in before and self._is_free_for(fire):
                try:
                    must_queue = self._must_queue(fire)
                except Permanent:
                    # A schedule that can't be read: what is done then says so.
                    must_queue = False
                if must_queue:
                    queued.add(fire.schedule)
                else:
                    self._begin(fire)
            before.add(fire.schedule)

    def _is_free_for(self, fire: Fire) -> bool:
        with self._lock:
            busy = fire.schedule in self._in_hand or len(self._in_hand) >= _AT_ONCE
            not_before, _ = self._waits.get(fire.key, (0.0, 0.0))
        return not busy and time.monotonic() >= not_before

    def _begin(self, fire: Fire) -> None:
        with self._lock:
            self._in_hand[fire.schedule] = fire
        threading.Thread(target=self._do, args=(fire,), name=f"fire of {fire.key}", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether a fire is under way."""
        with self._lock:
            return bool(self._in_hand)

    def put_back(self) -> None:
        """This process ends by its own will: what it had begun is not held against the fires."""
        with self._lock:
            fires = list(self._in_hand.values())
        for fire in fires:
            with suppress(ImpastoError):
                self._book.amend(fire)

    def _do(self, fire: Fire) -> None:
        try:
            self.do(fire)
        except Transient as error:
            self._wait(fire, str(error))
        except Permanent as error:
            with suppress(ImpastoError):
                self._settle(fire, "failed", str(error))
        except Exception as error:
            log.exception("schedule.fault", schedule=fire.schedule)
            why = f"an error in Impasto itself: {type(error).__name__}: {error}"
            with suppress(ImpastoError):
                self._settle(fire, "failed", printable(why))
        finally:
            with self._lock:
                self._in_hand.pop(fire.schedule, None)

    def do(self, fire: Fire, *, now: datetime | None = None) -> None:
        """Do the fire and write down what came of it. Raises what may pass; then it is to be done still."""
        entry = self._entries.find(fire.schedule)
        if entry is None:
            self._book.settle(fire)
            return
        spec = entry.spec
        if (refusal := self._refusal(fire, spec)) is not None:
            self._settle(fire, *refusal)
            return
        self._book.amend(fire.model_copy(update={"attempts": fire.attempts + 1, "note": "under way"}))

        def keep_hours(batch: str) -> None:
            if spec.hours is not None:
                moment = now or datetime.now(UTC)
                give_hours(self._client.connection, self._book, batch, spec.hours, moment)

        try:
            night = run_night(self._client, spec, fired_at=fire.fired_at, before_it_runs=keep_hours)
        except Transient:
            raise
        except ImpastoError as error:
            self._settle(fire, "failed", str(error))
            return
        if night.batch is None:
            self._settle(fire, "nothing_new", night.message)
            return
        # Also when it was opened by whoever came by before.
        keep_hours(night.batch)
        self._settle(fire, "submitted", night.message, batch=night.batch, pairs=night.pairs)

    def _refusal(self, fire: Fire, spec: ScheduleSpec) -> tuple[Outcome, str] | None:
        """Why nothing is to be done, though it fired; never once there is a batch: it must have its hours."""
        if self._was_begun(fire, spec):
            return None
        if fire.attempts >= _MOST_ATTEMPTS:
            return "failed", f"the beat ended {fire.attempts} times while it did this: see its log"
        if fire.by == "clock" and spec.paused:
            return "skipped", "the schedule is paused"
        late = fire.noticed_at - fire.fired_at
        if fire.by == "clock" and spec.if_missed == "skip" and late > PUNCTUAL:
            return "missed", f"no beat was there; it was noticed {_duration(late)} late"
        if spec.overlap == "skip":
            running = self._still_open(fire.schedule)
            if running:
                return "skipped", f"an earlier batch is not over: {self._told(running[0])}"
        return None

    def _must_queue(self, fire: Fire) -> bool:
        """Whether it waits for an earlier batch; its note says so."""
        entry = self._entries.find(fire.schedule)
        if entry is None or entry.spec.overlap != "queue" or self._was_submitted(fire, entry.spec):
            return False
        running = self._still_open(fire.schedule)
        if not running:
            return False
        note = f"waits until an earlier batch is over: {running[0]}"
        if fire.note != note:
            self._book.amend(fire.model_copy(update={"note": note}))
        return True

    def _was_begun(self, fire: Fire, spec: ScheduleSpec) -> bool:
        """Whether a beat that ended too soon came so far that whoever comes by opens the batch."""
        planned = layout.open_night_key(spec.name, fire.fired_at)
        return self._was_submitted(fire, spec) or self._client.connection.store.head(planned) is not None

    def _was_submitted(self, fire: Fire, spec: ScheduleSpec) -> bool:
        """A beat that ended too soon may have come so far."""
        return self._client.connection.ledger.opened_by(spec.token(fire.fired_at)) is not None

    def _still_open(self, schedule: str) -> list[str]:
        return [batch for batch in self._book.state(schedule).open_batches if not self._is_over(batch)]

    def _is_over(self, batch: str) -> bool:
        try:
            return self._client.connection.ledger.status(batch).is_over
        except NoSuchBatch:
            return True

    def _told(self, batch: str) -> str:
        status = self._client.connection.ledger.status(batch)
        return f"{batch} is {status.state.value}, {status.settled} of {status.total} pairs are settled"

    def _settle(
        self, fire: Fire, outcome: Outcome, message: str, *, batch: str | None = None, pairs: int = 0
    ) -> None:
        if outcome in ("skipped", "missed", "failed"):
            how: Literal["skipped", "error"] = "error" if outcome == "failed" else "skipped"
            try:
                tell_of_none(self._client.connection, fire.schedule, fire.fired_at, how, message)
            except Permanent as error:
                # A store that takes nothing may be why it failed: then it is told here alone.
                log.warning("night.untold", schedule=fire.schedule, why=str(error))
        still_open = self._still_open(fire.schedule)
        open_batches = [*still_open, batch] if batch is not None and batch not in still_open else still_open
        result = FireResult(
            fired_at=fire.fired_at,
            at=datetime.now(UTC),
            by=fire.by,
            outcome=outcome,
            batch=batch,
            pairs=pairs,
            message=message,
        )
        state = self._book.state(fire.schedule).after(result, open_batches=tuple(open_batches))
        # What was removed meanwhile is forgotten: a schedule that takes its name starts with no results.
        self._book.settle(fire, state if self._entries.knows(fire.schedule) else None)
        self._waits.pop(fire.key, None)
        log.info("schedule.settled", schedule=fire.schedule, outcome=outcome, batch=batch, message=message)

    def _wait(self, fire: Fire, why: str) -> None:
        """It is tried again later, as often as it takes."""
        _, last_seconds = self._waits.get(fire.key, (0.0, 0.0))
        seconds = min(2 * last_seconds or _FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        self._waits[fire.key] = (time.monotonic() + seconds, seconds)
        log.warning("schedule.waits", schedule=fire.schedule, seconds=seconds, why=why)
        with suppress(ImpastoError):
            self._book.amend(fire.model_copy(update={"note": f"is tried again: {why}"}))


def _duration(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
