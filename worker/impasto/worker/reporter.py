"""Writes the reports of finished batches, beside the work and never in its way."""

from __future__ import annotations

import contextvars
import queue
import threading

import structlog

from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ImpastoError, LeaseLost, NoSuchBatch, ObjectMissing
from impasto.shared.ledger import Ledger
from impasto.shared.ledger.policy import REPORT_AGAIN_SECONDS
from impasto.shared.reports import write_report

log = structlog.get_logger()


class Reporter:
    """One thread. A report that fails is asked for again by the sweep, here or at another worker.

    A large one takes minutes: while this worker writes it, the ledger has nobody else begin.
    """

    def __init__(self, worker: str, ledger: Ledger, files: BatchFiles) -> None:
        self._worker = worker
        self._ledger = ledger
        self._files = files
        self._asked: queue.Queue[str | None] = queue.Queue()
        self._under_way: set[str] = set()
        self._lock = threading.Lock()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_seconds: float) -> None:
        """Write what was asked for, as far as the time allows."""
        self._asked.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_seconds)

    def ask(self, batch: str) -> None:
        """The batch is finished and wants a report; asking twice writes it once."""
        with self._lock:
            if batch in self._under_way:
                return
            self._under_way.add(batch)
        self._asked.put(batch)

    def _run(self) -> None:
        while (batch := self._asked.get()) is not None:
            try:
                self._report(batch)
            except ImpastoError as error:
                log.warning("batch.report_failed", batch=batch, error=str(error))
            except Exception:
                log.exception("batch.report_failed", batch=batch)
            finally:
                with self._lock:
                    self._under_way.discard(batch)

    def _claim(self, batch: str) -> None:
        if not self._ledger.reporting(batch, reporter=self._worker, ttl_seconds=REPORT_AGAIN_SECONDS):
            raise LeaseLost("another worker writes the report, or none is missing")

    def _report(self, batch: str) -> None:
        try:
            report = write_report(batch, self._ledger, self._files, go_on=lambda: self._claim(batch))
        except LeaseLost as error:
            log.info("batch.not_reported_here", batch=batch, reason=str(error))
        except NoSuchBatch:
            log.info("batch.forgotten", batch=batch)
        except ObjectMissing as error:
            # What the report would be made of is gone: asking again, for ever, would not bring it back.
            log.error("batch.not_reportable", batch=batch, error=str(error))
            self._ledger.reported(batch, self._ledger.status(batch).finished_ms)
        else:
            log.info("batch.reported", batch=batch, state=report.state, **report.counts)
