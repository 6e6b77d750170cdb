"""A pair's way through the worker: while one is computed, the next is fetched and the last one is put.

Three threads, a pair each at most: the one that takes messages fetches and decodes, another computes, a third
encodes and puts. Each hands over when the next is free, so at most three pairs are in memory, and a store
that does not answer brings all of it to a halt rather than filling the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import HandedBack, ImpastoError, LedgerUnavailable, PoisonPair
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Ledger
from impasto.shared.metadata import OutputMetadata
from impasto.worker.busy import Busy
from impasto.worker.engine import StepLosses
from impasto.worker.held import HeldPair, HeldPairs
from impasto.worker.overdue import Overdue
from impasto.worker.pace import Pace
from impasto.worker.patience import Patience
from impasto.worker.pipeline import Computed, Fetched, Pipeline
from impasto.worker.settling import Settler
from impasto.worker.station import Station
from impasto.worker.stopping import Stopping

log = structlog.get_logger()

_PUT_SECONDS: Final = 3.0
"""What encoding and putting need of the grace period after the last step."""
_OVERDUE: Final = "the worker is stopping, and the pair neither ended nor stopped in time"


@dataclass
class _Run:
    """A pair on its way."""

    job: PairJob
    held: HeldPair
    busy: Busy = field(default_factory=Busy)

    def logged(self) -> AbstractContextManager[None]:
        """Log lines inside say which pair they are of."""
        lease = self.held.lease
        return structlog.contextvars.bound_contextvars(
            batch=lease.batch, pair=lease.pair, attempt=lease.attempt
        )


class Conveyor:
    """`carry` is for one thread, which then asks `wait_until_wanted` when to bring the next."""

    def __init__(
        self,
        *,
        deployment: Deployment,
        ledger: Ledger,
        dispatcher: Dispatcher,
        pipeline: Pipeline,
        settler: Settler,
        held_pairs: HeldPairs,
        stopping: Stopping,
        patience: Patience,
    ) -> None:
        self._deployment = deployment
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._pipeline = pipeline
        self._settler = settler
        self._held_pairs = held_pairs
        self._stopping = stopping
        self._patience = patience
        self._pace = Pace()
        self._computing: Station[tuple[_Run, Fetched]] = Station(
            "compute", lambda handed: self._compute(*handed)
        )
        self._putting: Station[tuple[_Run, Computed]] = Station("put", lambda handed: self._put(*handed))
        self._runs: list[_Run] = []
        self._overdue = Overdue(stopping, self._hand_all_back)

    def start(self) -> None:
        """Start the threads; they end with the process."""
        self._computing.start()
        self._putting.start()
        self._overdue.start()

    def carry(self, job: PairJob, held: HeldPair) -> None:
        """Fetch the pair and hand it over to be computed; returns once it is, or has ended."""
        run = _Run(job, held)
        self._runs = [*self._in_hand(), run]
        with run.logged():
            log.info("pair.started", content=job.content.name, style=job.style.name)
            fetched = self._settler.attempt(job, held, lambda: self._fetch(run))
            if isinstance(fetched, OutputMetadata):
                # It took no time of the device, and says nothing of how long the others will.
                self._settler.finish(held, fetched, busy_seconds=0.0)
            elif fetched is not None:
                self._pace.fetched(run.busy.seconds["fetch"])
                if self._settler.attempt(job, held, lambda: self._await_turn(run)):
                    self._pace.begin()
                    self._computing.hand_over((run, fetched))

    def wait_until_wanted(self) -> None:
        """Until the next pair must be fetched for the device not to wait, or until told to stop."""
        self._computing.wait_until(self._is_wanted)

    def _is_wanted(self) -> bool:
        if self._stopping.requested:
            return True
        if any(held.lease.alone for held in self._held_pairs.all()):
            return False
        return self._computing.is_free or self._pace.is_near_the_end()

    def drain(self) -> None:
        """Until nothing is under way. Whoever is told to stop ends soon: see `Stopping`, else `Overdue`."""
        self._computing.wait_until_free()
        self._putting.wait_until_free()
        self._overdue.stop()

    def _in_hand(self) -> list[_Run]:
        held_pairs = self._held_pairs.all()
        return [run for run in self._runs if run.held in held_pairs]

    def _hand_all_back(self) -> None:
        """For others to have, whatever this worker's threads are at. A result that one of them tells of in
        this very moment counts all the same.
        """
        for run in self._in_hand():
            lease = run.held.lease
            with run.logged():
                try:
                    if self._ledger.postpone(
                        lease.batch,
                        lease.pair,
                        lease_id=lease.lease_id,
                        delay_seconds=0.0,
                        give_back=True,
                        reason=_OVERDUE,
                    ):
                        log.warning("pair.handed_back", reason=_OVERDUE)
                        self._dispatcher.send([run.job])
                except ImpastoError as error:
                    log.warning("pair.unsettled", error=str(error))

    def _fetch(self, run: _Run) -> Fetched | OutputMetadata:
        lease = run.held.lease
        self._give_up_if_told(run)
        if lease.deaths >= self._deployment.max_deaths:
            raise PoisonPair(f"{lease.deaths} workers died of it")
        if lease.alone:
            self._putting_and_computing_end(run)
        with run.busy.stage("fetch"):
            return self._pipeline.fetch(
                run.job,
                batch=lease.batch,
                attempt=lease.attempt,
                patiently=run.busy.patient(self._patience.for_pair(run.held)),
            )

    def _putting_and_computing_end(self, run: _Run) -> None:
        """Nothing else is in hand then, so that a death is this pair's in whichever stage."""
        for station in (self._computing, self._putting):
            station.wait_until_free(lambda: self._give_up_if_told(run))
        self._claim_the_device(run)

    def _await_turn(self, run: _Run) -> bool:
        if not self._computing.is_free:
            self._computing.wait_until_free(lambda: self._give_up_if_told(run))
            # It was taken while it was the most urgent; that may have changed.
            if self._more_urgent_waits(run.held.lease.priority):
                raise HandedBack("a more urgent batch came")
        return True

    def _more_urgent_waits(self, priority: int) -> bool:
        try:
            return self._dispatcher.more_urgent_waiting(priority) > 0
        except LedgerUnavailable:
            return False

    def _give_up_if_told(self, run: _Run) -> None:
        """What has not begun to compute is handed back at once, for others to have."""
        run.held.obey()
        if self._stopping.requested:
            raise HandedBack("the worker is stopping")

    def _claim_the_device(self, run: _Run) -> None:
        """From now on a death of this worker is this pair's. Raises what the ledger orders."""
        run.held.computes(True)
        self._patience.with_ledger(lambda: self._renew(run))
        run.held.obey()

    def _renew(self, run: _Run) -> None:
        run.held.renew(self._ledger, self._deployment.lease_seconds)

    def _compute(self, run: _Run, fetched: Fetched) -> None:
        with run.logged():
            computed = self._settler.attempt(run.job, run.held, lambda: self._make(run, fetched))
            self._pace.end()
            if computed is None:
                return
            self._leave_the_device(run)
            self._putting.hand_over((run, computed))

    def _make(self, run: _Run, fetched: Fetched) -> Computed:
        self._give_up_if_told(run)
        if not run.held.is_computing:
            self._claim_the_device(run)
        with run.busy.stage("compute"):
            return self._pipeline.compute(fetched, on_step=self._step_watch(run.held))

    def _leave_the_device(self, run: _Run) -> None:
        """The next pair's death is not this one's. Untold, the heart's next beat tells it."""
        if run.held.lease.alone:
            return
        run.held.computes(False)
        try:
            self._renew(run)
        except LedgerUnavailable as error:
            log.warning("lease.not_renewed", error=str(error))

    def _step_watch(self, held: HeldPair) -> Callable[[StepLosses], None]:
        """Called after each evaluation: tells the heart how far it is, and ends the pair when it must end."""

        def on_step(losses: StepLosses) -> None:
            remaining_seconds = self._pace.step(losses.step, losses.steps)
            held.tell(
                {
                    "step": losses.step,
                    "steps": losses.steps,
                    "loss": losses.total,
                    "content_loss": losses.content,
                    "style_loss": losses.style,
                }
            )
            held.obey()
            needed = remaining_seconds + _PUT_SECONDS
            if needed > self._stopping.seconds_left:
                raise HandedBack(f"the worker is stopping, and the pair needs {needed:.0f} s more")

        return on_step

    def _put(self, run: _Run, computed: Computed) -> None:
        with run.logged():
            metadata = self._settler.attempt(run.job, run.held, lambda: self._put_result(run, computed))
            if metadata is not None:
                self._settler.finish(run.held, metadata, run.busy.most_seconds)

    def _put_result(self, run: _Run, computed: Computed) -> OutputMetadata:
        with run.busy.stage("put"):
            encoded = self._pipeline.encode(computed)
        self._make_sure_of_the_lease(run)
        made = self._patience.for_pair(run.held, made=True)
        to_the_end = self._patience.for_pair(run.held, begun=True)
        with run.busy.stage("put"):
            return self._pipeline.put(
                encoded, patiently=run.busy.patient(made), to_the_end=run.busy.patient(to_the_end)
            )

    def _make_sure_of_the_lease(self, run: _Run) -> None:
        """Nobody else has made the pair meanwhile, thinking this worker dead. Raises the order if one has."""
        try:
            self._patience.with_ledger(lambda: self._renew(run))
        except LedgerUnavailable as error:
            # Only when told to stop: a result that is left whole need not be made again.
            log.warning("lease.not_renewed", error=str(error))
        run.held.obey(made=True)
