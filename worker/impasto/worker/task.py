"""What happens to one message: lease, make, settle. The policy of retries lives here and nowhere else."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from impasto.shared.batches import BatchFiles
from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher, Unreadable
from impasto.shared.errors import (
    BadMessage,
    Cancelled,
    HandedBack,
    ImpastoError,
    LeaseLost,
    LedgerUnavailable,
    OutOfDeviceMemory,
    PoisonPair,
    Stopped,
    StoreRefused,
    StoreUnavailable,
    Transient,
)
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Failure, Lease, Ledger, Refusal
from impasto.shared.metadata import OutputMetadata
from impasto.worker.adopt import adopt
from impasto.worker.backoff import backoff_seconds
from impasto.worker.current import CurrentPair, Stopping
from impasto.worker.engine import StepLosses
from impasto.worker.patience import Patience
from impasto.worker.pipeline import Pipeline

log = structlog.get_logger()

_UNEXPECTED_ATTEMPTS: Final = 2
"""A fault nobody foresaw gets one more try: it may be the machine, and it may be the pair."""
_MEMORY_ATTEMPTS: Final = 2
_UNREADABLE_WINDOWS: Final = 50
_PUT_SECONDS: Final = 3.0
"""What encoding and putting need of the grace period after the last step."""


class PairTask:
    """Handles messages one at a time, each to its end: settled, postponed, handed back, or refused."""

    def __init__(
        self,
        *,
        worker: str,
        deployment: Deployment,
        ledger: Ledger,
        files: BatchFiles,
        dispatcher: Dispatcher,
        pipeline: Pipeline,
        current: CurrentPair,
        stopping: Stopping,
        patience: Patience,
        on_finished: Callable[[str], None],
    ) -> None:
        self._worker = worker
        self._deployment = deployment
        self._ledger = ledger
        self._files = files
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._current = current
        self._stopping = stopping
        self._patience = patience
        self._on_finished = on_finished

    def handle(self, *args: Any, **kwargs: Any) -> None:
        """One message's body.

        Raises LedgerUnavailable and StoreUnavailable, and only when told to stop: the message must then stay
        on the queue.
        """
        self._current.touch()
        try:
            job = self._read(args, kwargs)
        except BadMessage as error:
            self.bury(json.dumps({"args": args, "kwargs": kwargs}, default=repr), str(error))
            return
        try:
            job = self._patience.with_ledger(lambda: adopt(job, files=self._files, ledger=self._ledger))
        except (LedgerUnavailable, StoreUnavailable):
            raise
        except Exception as error:
            if not isinstance(error, ImpastoError):
                log.exception("message.unexpected")
            self.bury(json.dumps(job.to_wire()), _one_line(error))
            return
        with structlog.contextvars.bound_contextvars(batch=job.batch, pair=job.pair):
            self._take(job, str(job.batch))

    def _read(self, args: Sequence[Any], kwargs: dict[str, Any]) -> PairJob:
        if len(args) == 1 and not kwargs:
            return PairJob.from_wire(args[0])
        if not args and set(kwargs) == {"job"}:
            return PairJob.from_wire(kwargs["job"])
        raise BadMessage("expected one argument, the pair job as a JSON object")

    def bury(self, raw: str, reason: str) -> None:
        """Keep a message that is no pair job for people to look at."""
        log.error("message.buried", error=reason)
        self._patience.with_ledger(lambda: self._ledger.bury(raw, reason))

    def _take(self, job: PairJob, batch: str) -> None:
        lease_id = uuid.uuid4().hex
        answer = self._patience.with_ledger(
            lambda: self._ledger.lease(
                batch,
                job.pair,
                worker=self._worker,
                lease_id=lease_id,
                ttl_seconds=self._deployment.lease_seconds,
            )
        )
        if isinstance(answer, Refusal):
            log.info("pair.refused", reason=answer.value)
            if answer is Refusal.UNKNOWN:
                self.bury(json.dumps(job.to_wire()), f"batch {batch} has no such pair on the ledger")
            return
        with structlog.contextvars.bound_contextvars(attempt=answer.attempt), self._current.hold(answer):
            self._make_and_settle(job, answer)
        self._advance(batch)

    def _make_and_settle(self, job: PairJob, lease: Lease) -> None:
        began = time.monotonic()
        log.info("pair.started", content=job.content.name, style=job.style.name)
        try:
            if self._stopping.requested:
                raise HandedBack("the worker is stopping")
            if lease.deaths >= self._deployment.max_deaths:
                raise PoisonPair(f"{lease.deaths} workers died of it")
            metadata = self._pipeline.run(
                job, batch=lease.batch, attempt=lease.attempt, on_step=self._step_watch()
            )
        except LeaseLost as error:
            log.warning("pair.lost", reason=str(error))
        except Stopped as error:
            self._give_back(job, lease, error)
        except ImpastoError as error:
            self._settle_fault(job, lease, error)
        except Exception as error:
            log.exception("pair.unexpected")
            self._settle_fault(job, lease, error)
        else:
            self._finish(lease, metadata, time.monotonic() - began)

    def _step_watch(self) -> Callable[[StepLosses], None]:
        """Called after each evaluation: tells the heart how far it is, and ends the pair when it must end."""
        began = time.monotonic()
        # A pair that another worker began goes on where that one stopped.
        own_steps = 0

        def on_step(losses: StepLosses) -> None:
            nonlocal own_steps
            own_steps += 1
            self._current.tell(
                {
                    "step": losses.step,
                    "steps": losses.steps,
                    "loss": losses.total,
                    "content_loss": losses.content,
                    "style_loss": losses.style,
                }
            )
            self._current.obey()
            if self._stopping.requested:
                step_seconds = (time.monotonic() - began) / own_steps
                needed = (losses.steps - losses.step) * step_seconds + _PUT_SECONDS
                if needed > self._stopping.seconds_left:
                    raise HandedBack(f"the worker is stopping, and the pair needs {needed:.0f} s more")

        return on_step

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
                reason=str(reason),
            )
        )
        log.info(
            "pair.cancelled" if isinstance(reason, Cancelled) else "pair.handed_back", reason=str(reason)
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
                    reason=_one_line(error),
                )
            )
            log.warning("pair.postponed", error=_one_line(error), delay_seconds=round(delay, 1))
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
            message=_one_line(error),
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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ImpastoError) else f"{type(error).__name__}: {text}"
