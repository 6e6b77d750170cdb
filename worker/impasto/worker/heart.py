"""The heart: a thread that says the worker lives, renews its leases, and ends a worker that has gone deaf.

It talks to Redis alone: a store that hangs must cost no worker its lease.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import LedgerUnavailable
from impasto.shared.ledger import Ledger
from impasto.worker.held import HeldPairs
from impasto.worker.repeating import Repeating

log = structlog.get_logger()

EXIT_DEAF: Final = 75
"""The worker took nothing although messages waited; whoever supervises it starts it again."""


class Heart:
    """Beats every `heart_seconds` until stopped, whatever goes wrong in one beat."""

    def __init__(
        self,
        *,
        worker: str,
        info: dict[str, Any],
        deployment: Deployment,
        ledger: Ledger,
        dispatcher: Dispatcher,
        held_pairs: HeldPairs,
    ) -> None:
        self._worker = worker
        self._info = info
        self._deployment = deployment
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._held_pairs = held_pairs
        # Nobody is deaf to a server that does not speak: the silence counts from its return.
        self._beats = Repeating(
            "heart", self.beat, every_seconds=deployment.heart_seconds, on_outage=held_pairs.touch
        )

    def start(self) -> None:
        # Until now nothing could be taken: Redis may have been waited for.
        self._held_pairs.touch()
        self._beats.start()

    def stop(self) -> None:
        """End the thread and tell the ledger that the worker left."""
        self._beats.stop(timeout_seconds=10)
        try:
            self._ledger.leave(self._worker)
        except LedgerUnavailable as error:
            log.warning("worker.leave_untold", error=str(error))

    def beat(self) -> None:
        """One beat. Raises LedgerUnavailable when the ledger can't be reached."""
        for held in self._held_pairs.all():
            held.renew(self._ledger, self._deployment.lease_seconds)
        self._ledger.beat(self._worker, self._info, ttl_seconds=self._deployment.lease_seconds)
        self._watch_for_deafness()

    def _watch_for_deafness(self) -> None:
        if self._held_pairs.is_busy or self._dispatcher.broker_is_empty():
            self._held_pairs.touch()
            return
        last_activity = self._held_pairs.last_activity
        silence = time.monotonic() - last_activity
        if silence > self._deployment.deaf_seconds:
            self._ledger.leave(self._worker)
            if self._held_pairs.last_activity != last_activity:
                return
            log.critical("worker.deaf", seconds=round(silence), exit_code=EXIT_DEAF)
            # Nothing runs, so nothing is lost; a polite stop would need the very loop that hangs.
            os._exit(EXIT_DEAF)
