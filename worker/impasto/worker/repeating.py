"""A thread that does one thing again and again, whatever goes wrong in one of its turns."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

import structlog

from impasto.shared.errors import ImpastoError, LedgerUnavailable

log = structlog.get_logger()


class Repeating:
    """Calls `turn` at once and then every `every_seconds`, until stopped.

    Errors are logged, an outage of the ledger once; `on_outage` is called for each turn that one cost. Log
    lines carry the context of the thread that made it.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], None],
        *,
        every_seconds: float,
        on_outage: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._turn = turn
        self._every_seconds = every_seconds
        self._on_outage = on_outage
        self._ended = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)
        self._silent = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_seconds: float) -> None:
        """No further turn; wait for the one under way as long as that."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_seconds)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._turn()
                self._told_again()
            except LedgerUnavailable as error:
                self._silenced(error)
            except ImpastoError as error:
                log.warning(f"{self._name}.failed", error=str(error))
            except Exception:
                # A heart that stops for one odd answer would cost every pair its lease.
                log.exception(f"{self._name}.failed")
            self._ended.wait(self._every_seconds)

    def _silenced(self, error: LedgerUnavailable) -> None:
        if not self._silent:
            log.warning("ledger.unreachable", thread=self._name, error=str(error))
        self._silent = True
        self._on_outage()

    def _told_again(self) -> None:
        if self._silent:
            log.info("ledger.back", thread=self._name)
        self._silent = False
