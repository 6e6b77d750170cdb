"""The pairs in this worker's hands: their progress goes to the heart, the heart's orders come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from impasto.shared.errors import Cancelled, HandedBack, LeaseLost, Stopped
from impasto.shared.ledger import Lease, Ledger, RenewAnswer


class HeldPair:
    """One lease, whichever thread works on the pair."""

    def __init__(self, lease: Lease, *, computing: bool) -> None:
        self.lease = lease
        self._computing = computing
        self._progress: dict[str, Any] = {}
        self._order: tuple[type[Stopped], str] | None = None
        # Renewals are told one after the other, or an old one could have the last word on who computes.
        self._renewing = threading.Lock()

    def tell(self, progress: dict[str, Any]) -> None:
        """What the next renewal passes on."""
        self._progress = progress

    def computes(self, computing: bool) -> None:
        """What the next renewal says of whose a death would be."""
        self._computing = computing

    @property
    def is_computing(self) -> bool:
        return self._computing

    def renew(self, ledger: Ledger, ttl_seconds: float) -> None:
        """Tell the ledger, and keep its order for `obey`. Raises LedgerUnavailable."""
        with self._renewing:
            answer = ledger.renew(
                self.lease.batch,
                self.lease.pair,
                lease_id=self.lease.lease_id,
                ttl_seconds=ttl_seconds,
                progress=self._progress,
                computing=self._computing,
            )
        self._order = self._order_of(answer)

    def _order_of(self, answer: RenewAnswer) -> tuple[type[Stopped], str] | None:
        lease = self.lease
        orders: dict[RenewAnswer, tuple[type[Stopped], str]] = {
            RenewAnswer.CANCELLED: (Cancelled, f"batch {lease.batch} was cancelled"),
            RenewAnswer.PAUSED: (HandedBack, f"batch {lease.batch} is paused"),
            RenewAnswer.LOST: (LeaseLost, f"pair {lease.pair} of {lease.batch} is in other hands"),
        }
        return orders.get(answer)

    def obey(self, *, made: bool = False) -> None:
        """Raises the order to stop, if there is one: Cancelled, HandedBack or LeaseLost.

        A pair whose picture is `made` is not handed back: a paused batch's running pairs may finish, and this
        one has nothing left but to be put.
        """
        order = self._order
        if order is None:
            return
        kind, reason = order
        if not (made and issubclass(kind, HandedBack)):
            # A new one each time: an error that was raised holds the frames it passed through.
            raise kind(reason)


class HeldPairs:
    """All of them: at most one is fetched, one computes and one is put."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[HeldPair] = []
        self.last_activity = time.monotonic()
        """When a message was last taken or a pair last left, for the watchdog."""
        self._handling = False

    def take(self, lease: Lease, *, computing: bool = True) -> HeldPair:
        """From now on the heart renews this lease."""
        held = HeldPair(lease, computing=computing)
        with self._lock:
            self._held.append(held)
        return held

    def let_go(self, held: HeldPair) -> None:
        """The pair is settled, or nobody's business here any more."""
        with self._lock:
            self._held.remove(held)
            self.last_activity = time.monotonic()

    def touch(self) -> None:
        """Whatever was silent until now was no sign of deafness."""
        self.last_activity = time.monotonic()

    @contextmanager
    def handling(self) -> Iterator[None]:
        """A message was taken, and whoever took it is at work: there may long be no pair to hold."""
        self.touch()
        self._handling = True
        try:
            yield
        finally:
            self.touch()
            self._handling = False

    @property
    def is_busy(self) -> bool:
        """Whether a message is being handled or a pair is in hand."""
        return self._handling or bool(self.all())

    def all(self) -> list[HeldPair]:
        """Those in hand now, the oldest first."""
        with self._lock:
            return list(self._held)
