"""From what the ledger noted to what people are told: an event of the outbox as the bodies of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.webhooks.outbox import OutboxEntry
from impasto.producer.webhooks.payloads import (
    BatchFailed,
    BatchFinished,
    BatchOver,
    Counts,
    PairDone,
    PairFailed,
    PairHasFailed,
    PairIsDone,
    ScheduleFinished,
    ScheduleIsFinished,
    WebhookEvent,
    WebhookType,
)
from impasto.shared import layout
from impasto.shared.deployment import mask_url
from impasto.shared.errors import NoSuchBatch, Permanent
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import BatchStatus
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated
from impasto.shared.metadata import OutputMetadata

REPORT_SECONDS: Final = 300.0
"""For how long the end of a batch waits for its report, so that whoever hears of it finds it there."""
_NAMES: Final = 256
_OF_THE_METADATA: Final = (
    "picture_key",
    "fingerprint",
    "width_px",
    "height_px",
    "steps",
    "attempts",
    "reused_from",
)


class Narrator:
    """Reads what a message tells from ledger and store. Raises LedgerUnavailable and StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = Keys(connection.deployment.namespace)
        self._name = lru_cache(_NAMES)(self._read_name)

    def names(self, entry: OutboxEntry) -> tuple[str, ...]:
        """What the event's batch or schedule is called."""
        if entry.type == WebhookType.SCHEDULE_FINISHED:
            return (str(entry.data["schedule"]), entry.batch)
        return (entry.batch, self._name(entry.batch)[0])

    def is_early(self, entry: OutboxEntry, now_ms: int) -> bool:
        """Whether the report of the batch that is over is still being written."""
        if entry.type != WebhookType.BATCH_FINISHED or now_ms > entry.at_ms + 1000 * REPORT_SECONDS:
            return False
        return self._lacks_report(entry.batch)

    def events(self, entry: OutboxEntry, types: frozenset[WebhookType]) -> Iterator[WebhookEvent]:
        """The events of these types that the entry stands for."""
        match entry.type:
            case WebhookType.BATCH_FINISHED:
                over = self._batch_over(entry)
                if WebhookType.BATCH_FINISHED in types:
                    yield BatchFinished(timestamp=entry.at, data=over)
                if WebhookType.BATCH_FAILED in types and over.counts.failed:
                    yield BatchFailed(timestamp=entry.at, data=over)
            case WebhookType.PAIR_DONE if WebhookType.PAIR_DONE in types:
                yield PairDone(timestamp=entry.at, data=self._pair_done(entry))
            case WebhookType.PAIR_FAILED if WebhookType.PAIR_FAILED in types:
                yield PairFailed(timestamp=entry.at, data=self._pair_failed(entry))
            case WebhookType.SCHEDULE_FINISHED if WebhookType.SCHEDULE_FINISHED in types:
                yield ScheduleFinished(timestamp=entry.at, data=ScheduleIsFinished.model_validate(entry.data))

    def _batch_over(self, entry: OutboxEntry) -> BatchOver:
        batch, told = entry.batch, entry.data
        name, owner = self._name(batch)
        counts = {outcome: int(told[outcome]) for outcome in ("done", "failed", "cancelled")}
        status = self._status(batch)
        return BatchOver(
            batch=batch,
            name=name,
            owner=owner,
            state=told["state"],
            counts=Counts(total=sum(counts.values()), **counts),
            seconds=None if status is None else round((entry.at_ms - status.created_ms) / 1000, 3),
            busy_seconds=None if status is None else status.busy_seconds,
            store=self._store,
            outputs_prefix=layout.outputs_prefix(batch),
            report_key=None if self._lacks_report(batch) else layout.report_key(batch, "json"),
        )

    def _pair_done(self, entry: OutboxEntry) -> PairIsDone:
        job, metadata, key = self._job(entry), None, None
        if job is not None:
            key = layout.metadata_key(entry.batch, job.output_stem)
            try:
                metadata = OutputMetadata.model_validate_json(self._connection.store.get(key))
            except (Permanent, ValidationError):
                key = None
        return PairIsDone(
            **self._pair(entry, job),
            store=self._store,
            metadata_key=key,
            loss=None if metadata is None else metadata.losses.last.total,
            seconds=None if metadata is None else _made_in(metadata),
            **{name: getattr(metadata, name, None) for name in _OF_THE_METADATA},
        )

    def _pair_failed(self, entry: OutboxEntry) -> PairHasFailed:
        told = entry.data
        return PairHasFailed(
            **self._pair(entry, self._job(entry)),
            kind=told["kind"],
            error=told["message"],
            attempts=told.get("attempts"),
        )

    def _pair(self, entry: OutboxEntry, job: PairJob | None) -> dict[str, Any]:
        return {
            "batch": entry.batch,
            "name": self._name(entry.batch)[0],
            "pair": entry.pair,
            "content": job.content.name if job else entry.data.get("content", ""),
            "style": job.style.name if job else entry.data.get("style", ""),
        }

    def _job(self, entry: OutboxEntry) -> PairJob | None:
        try:
            return self._connection.batches.job(entry.batch, entry.pair or 0)
        except (Permanent, IndexError):
            return None

    def _read_name(self, batch: str) -> tuple[str, str]:
        """Name and owner; of a batch that is gone the id and nothing."""
        try:
            spec = self._connection.batches.spec(batch)
        except Permanent:
            status = self._status(batch)
            return (status.name if status else batch, "")
        return (spec.name, spec.owner)

    def _status(self, batch: str) -> BatchStatus | None:
        try:
            return self._connection.ledger.status(batch)
        except NoSuchBatch:
            return None

    def _lacks_report(self, batch: str) -> bool:
        client = self._connection.redis
        with translated(client):
            return client.zscore(self._keys.shared("unreported"), batch) is not None

    @property
    def _store(self) -> str:
        return mask_url(self._connection.store.url)


def _made_in(metadata: OutputMetadata) -> float:
    """Seconds; a copy of an earlier result took none, as in the report."""
    if metadata.reused_from is not None:
        return 0.0
    return round((metadata.finished_at - metadata.started_at).total_seconds(), 3)
