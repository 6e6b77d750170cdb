"""The pair under way, as the computing thread and the heart both see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from impasto.shared.errors import Cancelled, HandedBack, LeaseLost, Stopped
from impasto.shared.ledger import Lease, RenewAnswer


class Stopping:
    """Whether the process has been told to end, and by when. Set from a signal handler, so lock-free."""

    def __init__(self, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None

    def request(self) -> None:
        """The first request starts the grace period, a second one ends it."""
        first = self._deadline is None
        self._deadline = time.monotonic() + (self._grace_seconds if first else 0.0)

    @property
    def requested(self) -> bool:
        return self._deadline is not None

    @property
    def seconds_left(self) -> float:
        """Of the grace period; infinite while nobody asked to stop."""
        return float("inf") if self._deadline is None else max(0.0, self._deadline - time.monotonic())


class CurrentPair:
    """At most one lease at a time: its progress goes to the heart, the heart's orders come back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._progress: dict[str, Any] = {}
        self._order: Stopped | None = None
        self.last_activity = time.monotonic()
        """When a message was last taken or a pair last left, for the watchdog."""

    @contextmanager
    def hold(self, lease: Lease) -> Iterator[None]:
        """While inside, the heart renews this lease."""
        with self._lock:
            self._lease, self._progress, self._order = lease, {}, None
        try:
            yield
        finally:
            with self._lock:
                self._lease, self._progress, self._order = None, {}, None
                self.last_activity = time.monotonic()

    def touch(self) -> None:
        """A message was taken."""
        self.last_activity = time.monotonic()

    def tell(self, progress: dict[str, Any]) -> None:
        """What the next renewal passes on."""
        with self._lock:
            self._progress = progress

    def held(self) -> tuple[Lease, dict[str, Any]] | None:
        """The lease to renew with its progress, or None when no pair is under way."""
        with self._lock:
            return None if self._lease is None else (self._lease, self._progress)

    def answer(self, lease: Lease, answer: RenewAnswer) -> None:
        """Pass the ledger's answer on to the computing thread, if it still works on that lease."""
        orders: dict[RenewAnswer, Stopped] = {
            RenewAnswer.CANCELLED: Cancelled(f"batch {lease.batch} was cancelled"),
            RenewAnswer.PAUSED: HandedBack(f"batch {lease.batch} is paused"),
            RenewAnswer.LOST: LeaseLost(f"pair {lease.pair} of {lease.batch} is in other hands"),
        }
        with self._lock:
            if self._lease is lease:
                self._order = orders.get(answer)

    def obey(self) -> None:
        """Raises the order to stop, if there is one: Cancelled, HandedBack or LeaseLost."""
        with self._lock:
            if self._order is not None:
                raise self._order
