"""What happens to one message: read, leased, and put on the conveyor."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import structlog

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.deployment import Deployment
from impasto.shared.errors import (
    BadMessage,
    ImpastoError,
    LedgerUnavailable,
    NoSuchBatch,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Ledger, Refusal
from impasto.worker.adopt import adopt
from impasto.worker.conveyor import Conveyor
from impasto.worker.held import HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.settling import one_line

log = structlog.get_logger()


class PairTask:
    """Handles messages one at a time. One is acknowledged when the next is wanted, its pair perhaps still
    under way: from the lease on the ledger knows of it, and the sweep sends another if this worker dies.
    """

    def __init__(
        self,
        *,
        worker: str,
        deployment: Deployment,
        ledger: Ledger,
        files: BatchFiles,
        conveyor: Conveyor,
        held_pairs: HeldPairs,
        patience: Patience,
    ) -> None:
        self._worker = worker
        self._deployment = deployment
        self._ledger = ledger
        self._files = files
        self._conveyor = conveyor
        self._held_pairs = held_pairs
        self._patience = patience

    def handle(self, *args: Any, **kwargs: Any) -> None:
        """One message's body.

        Raises LedgerUnavailable and StoreUnavailable, and only when told to stop: the message must then stay
        on the queue.
        """
        with self._held_pairs.handling():
            self._handle(args, kwargs)

    def _handle(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
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
            self.bury(json.dumps(job.to_wire()), one_line(error))
            return
        self._take(job, str(job.batch))
        self._conveyor.wait_until_wanted()

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
        # With nothing else in hand a death is this pair's from the first moment.
        lonely = not self._held_pairs.all()
        answer = self._patience.with_ledger(
            lambda: self._ledger.lease(
                batch,
                job.pair,
                worker=self._worker,
                lease_id=lease_id,
                ttl_seconds=self._deployment.lease_seconds,
                computing=lonely,
            )
        )
        if isinstance(answer, Refusal):
            log.info("pair.refused", reason=answer.value, batch=batch, pair=job.pair)
            if answer is Refusal.UNKNOWN:
                self._bury_unless_forgotten(job, batch)
            return
        self._conveyor.carry(job, self._held_pairs.take(answer, computing=lonely))

    def _bury_unless_forgotten(self, job: PairJob, batch: str) -> None:
        """A message may outlive its batch on the ledger, by a purge or the retention, and no sender is to
        blame: such a batch's spec stays in the store. Where the store doesn't tell, the message goes, since
        the ledger knows nothing of its pair.
        """
        raw = json.dumps(job.to_wire())
        try:
            self._patience.with_ledger(lambda: self._ledger.status(batch))
        except NoSuchBatch:
            pass
        else:
            self.bury(raw, f"batch {batch} has no such pair on the ledger")
            return
        try:
            spec = self._files.store.head(layout.spec_key(batch))
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("message.dropped", batch=batch, pair=job.pair, error=one_line(error))
            return
        if spec is None:
            self.bury(raw, f"neither the ledger nor the store knows a batch {batch}")
        else:
            log.info("message.outlived_its_batch", batch=batch, pair=job.pair)
