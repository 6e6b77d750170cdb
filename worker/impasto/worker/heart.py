"""The heart: a thread that says the worker lives, renews its lease, and looks for what others lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher, Unreadable
from impasto.shared.errors import ImpastoError, LedgerUnavailable
from impasto.shared.ledger import Ledger
from impasto.worker.current import CurrentPair

log = structlog.get_logger()

EXIT_DEAF: Final = 75
"""The worker took nothing although messages waited; whoever supervises it starts it again."""


class Heart:
    """Beats every `heart_seconds` until stopped, whatever goes wrong in one beat.

    `on_unreported` is given the finished batches whose report nobody wrote, `on_unreadable` the pairs whose
    batch is gone from the store.
    """

    def __init__(
        self,
        *,
        worker: str,
        info: dict[str, Any],
        deployment: Deployment,
        ledger: Ledger,
        dispatcher: Dispatcher,
        current: CurrentPair,
        on_unreported: Callable[[str], None],
        on_unreadable: Callable[[Sequence[Unreadable]], None],
    ) -> None:
        self._worker = worker
        self._info = info
        self._deployment = deployment
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._current = current
        self._on_unreported = on_unreported
        self._on_unreadable = on_unreadable
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._silent = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and tell the ledger that the worker left."""
        self._ended.set()
        self._thread.join(timeout=10)
        try:
            self._ledger.leave(self._worker)
        except LedgerUnavailable as error:
            log.warning("worker.leave_untold", error=str(error))

    def _run(self) -> None:
        while True:
            try:
                self.beat()
                self._told_again()
            except LedgerUnavailable as error:
                self._silenced(error)
            except ImpastoError as error:
                log.warning("heart.failed", error=str(error))
            except Exception:
                # A heart that stops for one odd answer would cost every pair its lease.
                log.exception("heart.failed")
            if self._ended.wait(self._deployment.heart_seconds):
                return

    def beat(self) -> None:
        """One beat. Raises LedgerUnavailable when the ledger can't be reached."""
        self._renew()
        self._ledger.beat(self._worker, self._info, ttl_seconds=self._deployment.lease_seconds)
        broker_is_empty = self._dispatcher.broker_is_empty()
        self._sweep(broker_is_empty)
        self._watch_for_deafness(broker_is_empty)

    def _renew(self) -> None:
        held = self._current.held()
        if held is None:
            return
        lease, progress = held
        answer = self._ledger.renew(
            lease.batch,
            lease.pair,
            lease_id=lease.lease_id,
            ttl_seconds=self._deployment.lease_seconds,
            progress=progress,
        )
        self._current.answer(lease, answer)

    def _sweep(self, broker_is_empty: bool) -> None:
        days = self._deployment.retention_days
        found = self._ledger.sweep(
            every_seconds=self._deployment.sweep_seconds,
            republish_seconds=self._deployment.republish_seconds,
            broker_is_empty=broker_is_empty,
            max_deaths=self._deployment.max_deaths,
            min_window=self._deployment.window,
            retention_seconds=None if days is None else days * 24 * 3600,
        )
        for batch, pair in found.failed:
            log.error("pair.failed", batch=batch, pair=pair, error="killed too many workers")
        if found.publish:
            self._on_unreadable(self._dispatcher.publish(found.publish))
            log.info("sweep.published", pairs=len(found.publish))
        for batch in found.forgotten:
            log.info("batch.forgotten", batch=batch)
        for batch in found.unreported:
            self._on_unreported(batch)

    def _watch_for_deafness(self, broker_is_empty: bool) -> None:
        if broker_is_empty or self._current.held() is not None:
            self._current.touch()
            return
        silence = time.monotonic() - self._current.last_activity
        if silence > self._deployment.deaf_seconds:
            log.critical("worker.deaf", seconds=round(silence), exit_code=EXIT_DEAF)
            self._ledger.leave(self._worker)
            # Nothing runs, so nothing is lost; a polite stop would need the very loop that hangs.
            os._exit(EXIT_DEAF)

    def _silenced(self, error: LedgerUnavailable) -> None:
        if not self._silent:
            log.warning("ledger.unreachable", error=str(error))
        self._silent = True

    def _told_again(self) -> None:
        if self._silent:
            log.info("ledger.back")
        self._silent = False
