"""Waiting in place for Redis and the store: what was computed must not be lost to a server's restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import structlog

from impasto.shared.errors import (
    CredentialsUnusable,
    HandedBack,
    ImpastoError,
    LedgerUnavailable,
    StoreExhausted,
    StoreUnavailable,
)
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.stopping import Stopping

log = structlog.get_logger()

_FIRST_DELAY_SECONDS: Final = 0.2
_LONGEST_DELAY_SECONDS: Final = 5.0

T = TypeVar("T")


class Patiently(Protocol):
    """Makes a call again while the store does not answer, for one pair."""

    def __call__(self, call: Callable[[], T]) -> T: ...


class Patience:
    """Repeats a call while servers do not answer, unless the worker is told to stop."""

    def __init__(
        self,
        held_pairs: HeldPairs,
        stopping: Stopping,
        *,
        store_seconds: float,
        check_store: Callable[[], None] = lambda: None,
    ) -> None:
        """`check_store` raises StoreUnavailable while the whole store, and not one object, is away."""
        self._held_pairs = held_pairs
        self._stopping = stopping
        self._store_seconds = store_seconds
        self._check_store = check_store

    def with_ledger(self, call: Callable[[], T]) -> T:
        """Until ledger and store answer. Raises their error once the grace period of a stop is over."""
        delay_seconds = _FIRST_DELAY_SECONDS
        while True:
            try:
                return call()
            except (LedgerUnavailable, StoreUnavailable) as error:
                if self._stopping.seconds_left <= delay_seconds:
                    raise
                # Whoever waits knowingly is not deaf.
                self._held_pairs.touch()
                log.warning("ledger.waiting", error=str(error), retry_seconds=round(delay_seconds, 1))
            delay_seconds = _pause(delay_seconds)

    def for_pair(self, held: HeldPair, *, made: bool = False, begun: bool = False) -> Patiently:
        """`with_store` for that pair."""

        def patiently(call: Callable[[], T]) -> T:
            return self.with_store(held, call, made=made, begun=begun)

        return patiently

    def with_store(
        self, held: HeldPair, call: Callable[[], T], *, made: bool = False, begun: bool = False
    ) -> T:
        """Until the store answers, for a pair under way, whose lease the heart renews meanwhile.

        Without another store there is nothing better to do, and a result that waits need not be made again.
        Raises what orders the pair to stop, HandedBack when the worker must stop, and StoreUnavailable after
        `store_seconds` if the rest of the store answers before and after one more try: it may be this one
        object that never does. An outage of all of it is waited for without an end, and costs no attempt, at
        whichever moment it ends.

        What has `begun` is brought to its end: no order to the pair stops it.
        """
        delay_seconds = _FIRST_DELAY_SECONDS
        answered = False
        deadline = time.monotonic() + self._store_seconds
        while True:
            if not begun:
                held.obey(made=made)
            try:
                return call()
            except StoreUnavailable as error:
                if time.monotonic() + delay_seconds > deadline:
                    if self._is_of_this_object(error):
                        if answered:
                            raise
                        answered = True
                        continue
                    answered = False
                    deadline = time.monotonic() + self._store_seconds
                if self._stopping.seconds_left <= delay_seconds:
                    raise HandedBack(
                        f"the worker is stopping, and the store does not answer: {error}"
                    ) from error
                log.warning("store.waiting", error=str(error), retry_seconds=round(delay_seconds, 1))
            delay_seconds = _pause(delay_seconds)

    def _is_of_this_object(self, error: StoreUnavailable) -> bool:
        """Whether the store answers, so that it is not away; inputs may lie in another than is asked."""
        if isinstance(error, CredentialsUnusable | StoreExhausted):
            return False
        try:
            self._check_store()
        except StoreUnavailable:
            return False
        except ImpastoError:
            # It answers, if only to refuse.
            return True
        return True


def _pause(delay_seconds: float) -> float:
    """Sleep so long; the next delay."""
    time.sleep(delay_seconds)
    return min(_LONGEST_DELAY_SECONDS, delay_seconds * 2)
