"""Celery beat with RedBeat, as it fires schedules: whoever holds the lock writes down what is due."""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery import Celery
from celery.beat import Service
from redbeat import RedBeatScheduler  # type: ignore[import-untyped]
from redis.exceptions import LockError

from impasto.producer.schedules import entries

log: Any = structlog.get_logger()


class Tenure:
    """Whether this process is the beat, as far as it can know: until its lock would have run out.

    Safe to ask from any thread.
    """

    def __init__(self) -> None:
        self._until = float("-inf")

    @property
    def held(self) -> bool:
        return time.monotonic() < self._until

    def until(self, moment: float) -> None:
        """Held until then, by the monotonic clock."""
        self._until = moment

    def end(self) -> None:
        self._until = float("-inf")


class FireScheduler(RedBeatScheduler):  # type: ignore[misc]
    """Sends no message: what is due is written down, and this process, or the next beat, does it."""

    Entry = entries.Entry

    def __init__(self, app: Celery, *, known: entries.Entries, tenure: Tenure, **rest: Any) -> None:
        self._known = known
        self._tenure = tenure
        super().__init__(app, **rest)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if self.lock is None:
            # Celery swallows what goes wrong while RedBeat takes the lock.
            raise LockError("the lock was not taken")
        began = time.monotonic()
        if not self._tenure.held:
            log.info("beat.leads", lock_seconds=self.lock_timeout)
        interval: float = super().tick(*args, **kwargs)
        self._tenure.until(began + self.lock_timeout)
        return interval

    def apply_async(
        self, entry: entries.Entry, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> None:
        """Atomic: a fire that is written down is done some time, and one that is not is due still."""
        fire = entries.by_clock(entry, self.app.now())
        if fire is not None and self._known.fired(entry, fire):
            log.info("schedule.fired", schedule=entry.name, fired_at=fire.fired_at.isoformat())

    @property
    def _maybe_due_kwargs(self) -> dict[str, Any]:
        """RedBeat would connect to the broker here."""
        return {}


class BeatService(Service):
    """Celery's loop around one scheduler; `start` waits for the lock first."""

    def __init__(self, app: Celery, known: entries.Entries, tenure: Tenure) -> None:
        super().__init__(app)
        self._known = known
        self._tenure = tenure

    def get_scheduler(self, lazy: bool = False, extension_namespace: str = "") -> FireScheduler:
        return FireScheduler(
            self.app, known=self._known, tenure=self._tenure, max_interval=self.max_interval, lazy=lazy
        )
