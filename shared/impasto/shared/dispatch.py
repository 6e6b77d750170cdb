"""From the ledger to the queue: what is due becomes messages.

Used by the producer for a batch's first window and by workers for every later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from impasto.shared.batches import BatchFiles
from impasto.shared.celery_app import PRIORITY_STEPS, queue_keys
from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import LedgerUnavailable, NoSuchBatch, Permanent, StoreRefused, Transient
from impasto.shared.jobs import TASK_NAME, PairJob
from impasto.shared.ledger import Ledger

DEFAULT_PRIORITY: Final = 5


@dataclass(frozen=True)
class Unreadable:
    """A pair that can't become a message, since its batch's files are gone or damaged."""

    batch: str
    pair: int
    error: Permanent


class Dispatcher:
    """Publishes pairs of batches. A message that can't be sent is not lost: the sweep sends it again."""

    def __init__(
        self, app: Celery, ledger: Ledger, batches: BatchFiles, deployment: Deployment, client: redis.Redis
    ) -> None:
        self._app = app
        self._ledger = ledger
        self._batches = batches
        self._deployment = deployment
        self._client = client

    def advance(self, batch: str) -> list[Unreadable]:
        """Top the batch's window up. Answers and raises as `publish`."""
        pairs = self._ledger.advance(batch, min_window=self._deployment.window)
        return self.publish((batch, pair) for pair in pairs)

    def publish(self, pairs: Iterable[tuple[str, int]]) -> list[Unreadable]:
        """Send one message a pair; the answer is those whose batch can't be read from the store any more.

        Raises LedgerUnavailable, and Transient when a batch may be readable later; what could be read is
        sent all the same.
        """
        jobs: list[PairJob] = []
        unreadable: list[Unreadable] = []
        silent: dict[str, Transient] = {}
        for batch, pair in pairs:
            if batch in silent:
                continue
            try:
                jobs.append(self._batches.job(batch, pair))
            except Transient as error:
                silent[batch] = error
            except Permanent as error:
                unreadable.append(Unreadable(batch, pair, error))
            except IndexError as error:
                unreadable.append(
                    Unreadable(batch, pair, StoreRefused(f"the spec is not the ledger's: {error}"))
                )
        self.send(jobs)
        for unanswered in silent.values():
            raise unanswered
        return unreadable

    def send(self, jobs: Sequence[PairJob]) -> None:
        """Put the jobs on the queue, each at the priority its batch has now. Raises LedgerUnavailable."""
        if not jobs:
            return
        priorities = {batch: self._priority(batch) for batch in {job.batch for job in jobs}}
        try:
            with self._app.producer_or_acquire() as producer:
                for job in jobs:
                    self._app.send_task(
                        TASK_NAME,
                        args=[job.to_wire()],
                        queue=self._deployment.queue,
                        priority=priorities[job.batch],
                        producer=producer,
                        retry=True,
                        retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0},
                    )
        except (OperationalError, redis.RedisError, OSError) as error:
            where = mask_url(str(self._app.conf.broker_url))
            raise LedgerUnavailable(f"the queue at {where} does not take messages: {error}") from error

    def _priority(self, batch: str | None) -> int:
        """The ledger's, since people may have changed what the batch's spec says."""
        if batch is None:
            return DEFAULT_PRIORITY
        try:
            return self._ledger.status(batch).priority
        except NoSuchBatch:
            # Purged a moment ago: whoever takes the message is refused.
            return DEFAULT_PRIORITY

    def broker_is_empty(self) -> bool:
        """Whether no message waits to be taken. Raises LedgerUnavailable."""
        return self.messages_waiting() == 0

    def messages_waiting(self) -> int:
        """How many messages nobody has taken yet. Raises LedgerUnavailable."""
        return sum(self._waiting())

    def more_urgent_waiting(self, priority: int) -> int:
        """How many of them go before a message of that priority. Raises LedgerUnavailable."""
        return sum(
            count for step, count in zip(PRIORITY_STEPS, self._waiting(), strict=True) if step < priority
        )

    def _waiting(self) -> list[int]:
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for key in queue_keys(self._deployment):
                    pipeline.llen(key)
                return pipeline.execute()
        except redis.RedisError as error:
            raise LedgerUnavailable(f"Redis does not answer: {error}") from error
