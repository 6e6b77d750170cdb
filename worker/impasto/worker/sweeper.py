"""The sweep: a thread that looks for what others lost and puts it back on the queue.

Apart from the heart, since a message is made from the batch's files, and the store may be slow to give them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher, Unreadable
from impasto.shared.ledger import Ledger
from impasto.worker.repeating import Repeating

log = structlog.get_logger()

_LONG_QUEUE: Final = 1000
"""Messages beyond which a pair's turn may well take longer than `republish_seconds`: to send it again as
often would make the queue longer still."""


class Sweeper:
    """Asks for a turn every `heart_seconds`; the ledger gives one in `sweep_seconds` over all workers.

    `on_unreported` is given the finished batches whose report nobody wrote, `on_unreadable` the pairs whose
    batch is gone from the store.
    """

    def __init__(
        self,
        *,
        deployment: Deployment,
        ledger: Ledger,
        dispatcher: Dispatcher,
        on_unreported: Callable[[str], None],
        on_unreadable: Callable[[Sequence[Unreadable]], None],
    ) -> None:
        self._deployment = deployment
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._on_unreported = on_unreported
        self._on_unreadable = on_unreadable
        self._sweeps = Repeating("sweep", self.sweep, every_seconds=deployment.heart_seconds)

    def start(self) -> None:
        self._sweeps.start()

    def stop(self) -> None:
        """End the thread; a sweep that hangs on the store is left to itself, and found again by the next."""
        self._sweeps.stop(timeout_seconds=1)

    def sweep(self) -> None:
        """One sweep, if it is our turn. Raises LedgerUnavailable and StoreUnavailable."""
        days = self._deployment.retention_days
        waiting = self._dispatcher.messages_waiting()
        found = self._ledger.sweep(
            every_seconds=self._deployment.sweep_seconds,
            republish_seconds=self._deployment.republish_seconds * max(1.0, waiting / _LONG_QUEUE),
            broker_is_empty=waiting == 0,
            max_deaths=self._deployment.max_deaths,
            min_window=self._deployment.window,
            lease_seconds=self._deployment.lease_seconds,
            delay_seconds=self._deployment.retry_max_seconds,
            retention_seconds=None if days is None else days * 24 * 3600,
        )
        for trouble in found.troubles:
            log.error("sweep.batch_failed", error=trouble)
        for batch in found.forgotten:
            log.info("batch.forgotten", batch=batch)
        for batch in found.unreported:
            self._on_unreported(batch)
        for batch, pair in found.failed:
            log.error("pair.failed", batch=batch, pair=pair, error="killed too many workers")
        if found.publish:
            self._on_unreadable(self._dispatcher.publish(found.publish))
            log.info("sweep.published", pairs=len(found.publish))
