"""What becomes of a pair: done, handed back, postponed or failed. The policy of retries is here alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher, Unreadable
from impasto.shared.errors import (
    Cancelled,
    HandedBack,
    ImpastoError,
    LeaseLost,
    OutOfDeviceMemory,
    Stopped,
    StoreRefused,
    Transient,
)
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Failure, Lease, Ledger
from impasto.shared.metadata import OutputMetadata
from impasto.worker.backoff import backoff_seconds
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.patience import Patience

log = structlog.get_logger()

_UNEXPECTED_ATTEMPTS: Final = 2
"""A fault nobody foresaw on a pair's first attempt gets one more: it may be the machine, and it may be the
pair. Attempts that ended in another way count too, since the ledger does not tell them apart."""
_MEMORY_ATTEMPTS: Final = 2
_LONGEST_MESSAGE: Final = 500
"""Characters: what a million failures say has to fit into Redis, and torch's errors can fill pages."""
_UNREADABLE_WINDOWS: Final = 50

T = TypeVar("T")
AnyError = TypeVar("AnyError", bound=Exception)


class Settler:
    """Ends what a worker does with a pair, from whichever thread; then tops its batch's window up."""

    def __init__(
        self,
        *,
        worker: str,
        deployment: Deployment,
        ledger: Ledger,
        dispatcher: Dispatcher,
        held_pairs: HeldPairs,
        patience: Patience,
        on_finished: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._deployment = deployment
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._held_pairs = held_pairs
        self._patience = patience
        self._on_finished = on_finished

    def attempt(self, job: PairJob, held: HeldPair, step: Callable[[], T]) -> T | None:
        """What the step answers; None when the pair ended in it: it is settled then, and let go."""
        try:
            return step()
        except LeaseLost as error:
            log.warning("pair.lost", reason=str(without_frames(error)))
            self._leave(held, lambda: None)
        except Stopped as error:
            reason = without_frames(error)
            self._leave(held, lambda: self._give_back(job, held.lease, reason))
        except Exception as error:
            if not isinstance(error, ImpastoError):
                log.exception("pair.unexpected")
            fault = without_frames(error)
            self._leave(held, lambda: self._settle_fault(job, held.lease, fault))
        return None

    def finish(self, held: HeldPair, metadata: OutputMetadata, busy_seconds: float) -> None:
        """The picture and its metadata are in the store: count the pair, and let go of it."""
        self._leave(held, lambda: self._finish(held.lease, metadata, busy_seconds))

    def _leave(self, held: HeldPair, settle: Callable[[], None]) -> None:
        try:
            settle()
        except Transient as error:
            # Only when told to stop. The lease runs out, and whoever sweeps then finds the pair.
            log.warning("pair.unsettled", error=str(error))
        finally:
            self._held_pairs.let_go(held)
        self._advance(held.lease.batch)

    def _finish(self, lease: Lease, metadata: OutputMetadata, busy_seconds: float) -> None:
        settled = self._patience.with_ledger(
            lambda: self._ledger.finish(
                lease.batch, lease.pair, lease_id=lease.lease_id, busy_seconds=busy_seconds
            )
        )
        log.info(
            "pair.done",
            key=metadata.picture_key,
            seconds=round(busy_seconds, 2),
            steps=metadata.steps,
            loss=metadata.losses.last.total,
            counted=settled.counted,
        )
        if settled.batch_finished:
            self._on_finished(lease.batch)

    def _give_back(self, job: PairJob, lease: Lease, reason: Stopped) -> None:
        held = self._patience.with_ledger(
            lambda: self._ledger.postpone(
                lease.batch,
                lease.pair,
                lease_id=lease.lease_id,
                delay_seconds=0.0,
                give_back=True,
                reason=one_line(reason),
            )
        )
        log.info(
            "pair.cancelled" if isinstance(reason, Cancelled) else "pair.handed_back", reason=one_line(reason)
        )
        if held and isinstance(reason, HandedBack):
            try:
                self._dispatcher.send([job])
            except ImpastoError as error:
                log.warning("pair.message_unsent", error=str(error))

    def _settle_fault(self, job: PairJob, lease: Lease, error: Exception) -> None:
        if lease.attempt < self._attempts_allowed(error):
            delay = backoff_seconds(self._deployment, lease.attempt, error)
            self._patience.with_ledger(
                lambda: self._ledger.postpone(
                    lease.batch,
                    lease.pair,
                    lease_id=lease.lease_id,
                    delay_seconds=delay,
                    give_back=False,
                    reason=one_line(error),
                )
            )
            log.warning("pair.postponed", error=one_line(error), delay_seconds=round(delay, 1))
            return
        self._fail(job, lease, error)

    def _attempts_allowed(self, error: Exception) -> int:
        if isinstance(error, OutOfDeviceMemory):
            return min(_MEMORY_ATTEMPTS, self._deployment.max_attempts)
        if isinstance(error, Transient | StoreRefused):
            # A store that refuses is the deployment's fault, not the pair's: someone may mend it meanwhile.
            return self._deployment.max_attempts
        if isinstance(error, ImpastoError):
            return 0
        return min(_UNEXPECTED_ATTEMPTS, self._deployment.max_attempts)

    def _fail(self, job: PairJob | None, lease: Lease, error: Exception) -> None:
        failure = Failure(
            pair=lease.pair,
            kind=error.kind if isinstance(error, ImpastoError) else "unexpected",
            message=one_line(error),
            attempts=lease.attempt,
            content=job.content.name if job else "",
            style=job.style.name if job else "",
            failed_ms=int(time.time() * 1000),
        )
        settled = self._patience.with_ledger(
            lambda: self._ledger.fail(lease.batch, lease.pair, lease_id=lease.lease_id, failure=failure)
        )
        log.error("pair.failed", error=failure.message, kind=failure.kind, counted=settled.counted)
        if settled.batch_finished:
            self._on_finished(lease.batch)

    def fail_unreadable(self, pairs: Sequence[Unreadable]) -> None:
        """Fail due pairs whose batch is gone from the store: no message can be made of them.

        And those that become due in their stead, some windows of them: one window a sweep would take days for
        a large batch. Raises LedgerUnavailable and StoreUnavailable; what is left is found by the next sweep.
        """
        for _ in range(_UNREADABLE_WINDOWS):
            for unreadable in pairs:
                self._fail_unread(unreadable)
            batches = dict.fromkeys(unreadable.batch for unreadable in pairs)
            pairs = [unreadable for batch in batches for unreadable in self._dispatcher.advance(batch)]
            if not pairs:
                return
        # The last ones asked for are due, and nobody else has a message of them.
        for unreadable in pairs:
            self._fail_unread(unreadable)

    def _fail_unread(self, unreadable: Unreadable) -> None:
        answer = self._ledger.lease(
            unreadable.batch,
            unreadable.pair,
            worker=self._worker,
            lease_id=uuid.uuid4().hex,
            ttl_seconds=self._deployment.lease_seconds,
            computing=False,
        )
        if isinstance(answer, Lease):
            with structlog.contextvars.bound_contextvars(batch=unreadable.batch, pair=unreadable.pair):
                self._fail(None, answer, unreadable.error)

    def _advance(self, batch: str) -> None:
        """Top the window up; whatever fails here, the sweep does it a little later."""
        try:
            self.fail_unreadable(self._dispatcher.advance(batch))
        except Transient as error:
            log.warning("window.not_advanced", error=str(error))


def one_line(error: Exception) -> str:
    """The error as a line of a log or a report, of at most 500 characters.

    The kind of one that nobody foresaw goes before it.
    """
    text = " ".join(str(error).split())
    line = text if isinstance(error, ImpastoError) else f"{type(error).__name__}: {text}"
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"


def without_frames(error: AnyError) -> AnyError:
    """The same error, alone: without the frames that it passed through, and without what led to it.

    They hold the pair's tensors, and an error that outlives its handler holds its own handler's frame: a
    cycle, which would keep the device's memory until the collector happens to run.
    """
    linked: list[BaseException] = [error]
    while linked:
        one = linked.pop()
        linked += [other for other in (one.__cause__, one.__context__) if other is not None]
        one.__traceback__ = one.__cause__ = one.__context__ = None
    return error
