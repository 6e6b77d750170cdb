"""Computing that does not go on where it can't: on a broken device, or in a call that never returns.

A worker on a broken device would fail each pair within milliseconds, be free again, and take the next: all
of a batch, twice. Its process ends instead, without a word to the ledger. The leases run out, the death is
that of the pair that computed, and each pair runs elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import structlog

from impasto.shared.deployment import Deployment
from impasto.shared.errors import ImpastoError
from impasto.shared.store import ObjectStore
from impasto.worker.engine import StepLosses
from impasto.worker.networks import Networks
from impasto.worker.pipeline import Computed, Fetched, OnStep, Pipeline
from impasto.worker.settling import one_line
from impasto.worker.station import EXIT_BROKEN
from impasto.worker.step_watch import StepWatch

log = structlog.get_logger()


class GuardedPipeline(Pipeline):
    """A pipeline whose `compute` is watched. `probe` says what is wrong with the device, None for nothing."""

    def __init__(
        self,
        *,
        networks: Networks,
        store: ObjectStore,
        deployment: Deployment,
        worker: str,
        watch: StepWatch,
        probe: Callable[[], str | None],
    ) -> None:
        super().__init__(networks=networks, store=store, deployment=deployment, worker=worker)
        self._watch = watch
        self._probe = probe

    def compute(self, fetched: Fetched, *, on_step: OnStep) -> Computed:
        """As the pipeline's own; does not return from what breaks the device."""

        def watched(losses: StepLosses) -> None:
            self._watch.step()
            try:
                on_step(losses)
            except BaseException:
                # A checkpoint comes next, and the store may take its time for that.
                self._watch.end()
                raise

        self._watch.begin(fetched.work.batch, fetched.work.job.pair)
        try:
            return super().compute(fetched, on_step=watched)
        except Exception as error:
            if not isinstance(error, ImpastoError):
                self._end_if_broken(error)
            raise
        finally:
            self._watch.end()

    def _end_if_broken(self, error: Exception) -> None:
        trouble = self._probe()
        if trouble is not None:
            log.critical("device.broken", error=one_line(error), device=trouble, exit_code=EXIT_BROKEN)
            os._exit(EXIT_BROKEN)
