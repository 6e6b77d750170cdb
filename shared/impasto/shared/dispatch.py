"""From the ledger to the queue: what is due becomes messages.

Used by the producer for a batch's first window and by workers for every later one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from impasto.shared.batches import BatchFiles
from impasto.shared.celery_app import PRIORITY_STEPS, queue_keys
from impasto.shared.deployment import Deployment, mask_url
from impasto.shared.errors import (
    Damaged,
    LedgerUnavailable,
    NoSuchBatch,
    ObjectMissing,
    StoreRefused,
    StoreUnavailable,
    Transient,
)
from impasto.shared.jobs import TASK_NAME, PairJob
from impasto.shared.ledger import Ledger

DEFAULT_PRIORITY: Final = 5


@dataclass(frozen=True)
class Unreadable:
    """A pair that can't become a message, since its batch's files are gone or damaged."""

    batch: str
    pair: int
    error: ObjectMissing | Damaged


class Dispatcher:
    """Publishes pairs of batches. A message that can't be sent is not lost: the next sweep sends it."""

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
        """Send one message a pair; the answer is those whose batch's files are gone or damaged.

        Batch by batch, so that one which the store is slow to give holds up none before it. Raises
        LedgerUnavailable, and Transient when a batch may be readable later, by another worker if not by this
        one: the store may refuse our credentials alone. What could be read is sent all the same. Where there
        is an answer to give, it goes before that error, which the next sweep meets again.
        """
        unreadable: list[Unreadable] = []
        silent: dict[str, Transient] = {}
        left = [(batch, [pair for _, pair in due]) for batch, due in groupby(pairs, key=itemgetter(0))]
        while left:
            batch, due = left.pop(0)
            jobs: list[PairJob] = []
            while due and batch not in silent:
                try:
                    jobs.append(self._batches.job(batch, due[0]))
                except (ObjectMissing, Damaged) as error:
                    unreadable.append(Unreadable(batch, due[0], error))
                except IndexError as error:
                    damage = Damaged(f"the spec is not the ledger's: {error}")
                    unreadable.append(Unreadable(batch, due[0], damage))
                except (Transient, StoreRefused) as error:
                    silent[batch] = _passing(error)
                    break
                due.pop(0)
            try:
                self.send(jobs)
            except LedgerUnavailable:
                self._tell_unpublished([(batch, due), *left])
                raise
            self._tell_unpublished([(batch, due)])
        if not unreadable:
            for unanswered in silent.values():
                raise unanswered
        return unreadable

    def send(self, jobs: Sequence[PairJob]) -> None:
        """Put the jobs on the queue, each at the priority its batch has now. Raises LedgerUnavailable."""
        if not jobs:
            return
        left = deque(jobs)
        try:
            priorities = {batch: self._priority(batch) for batch in {job.batch for job in jobs}}
            with self._app.producer_or_acquire() as producer:
                while left:
                    self._app.send_task(
                        TASK_NAME,
                        args=[left[0].to_wire()],
                        queue=self._deployment.queue,
                        priority=priorities[left[0].batch],
                        producer=producer,
                        retry=True,
                        retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0},
                    )
                    left.popleft()
        except (LedgerUnavailable, OperationalError, redis.RedisError, OSError) as error:
            unsent = groupby(left, key=lambda job: job.batch)
            self._tell_unpublished(
                [(batch, [job.pair for job in due]) for batch, due in unsent if batch is not None]
            )
            if isinstance(error, LedgerUnavailable):
                raise
            where = mask_url(str(self._app.conf.broker_url))
            raise LedgerUnavailable(f"the queue at {where} does not take messages: {error}") from error

    def _tell_unpublished(self, left: Iterable[tuple[str, Sequence[int]]]) -> None:
        """Best effort: where the ledger is away too, these pairs are sent again as any that nobody took."""
        with suppress(LedgerUnavailable):
            for batch, pairs in left:
                if pairs:
                    self._ledger.unpublished(batch, pairs)

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


def _passing(error: Transient | StoreRefused) -> Transient:
    """What one worker is refused, another may be given."""
    if isinstance(error, Transient):
        return error
    unavailable = StoreUnavailable(str(error))
    unavailable.__cause__ = error
    return unavailable
