"""What a webhook is told: the bodies of its POSTs, versioned by the names of their types.

docs/webhooks.md explains them, docs/webhooks.schema.json is their JSON Schema: a test compares both.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class WebhookType(StrEnum):
    """What a webhook may ask for, and `webhook.test`, which people send."""

    BATCH_FINISHED = "batch.finished"
    BATCH_FAILED = "batch.failed"
    PAIR_DONE = "pair.done"
    PAIR_FAILED = "pair.failed"
    SCHEDULE_FINISHED = "schedule.finished"
    TEST = "webhook.test"


ASKED_FOR: Final = tuple(type for type in WebhookType if type is not WebhookType.TEST)
DEFAULT_TYPES: Final = (WebhookType.BATCH_FINISHED, WebhookType.SCHEDULE_FINISHED)
"""Each end is told once; `batch.failed` and the pairs are for those who ask."""


class _Part(BaseModel):
    # Receivers are asked to pass over what they do not know: fields may be added.
    model_config = ConfigDict(frozen=True)


class Counts(_Part):
    """Pairs by how they ended; `done + failed + cancelled = total`."""

    total: int
    done: int
    failed: int
    cancelled: int


class BatchOver(_Part):
    """A batch whose every pair is settled, as it was at that moment."""

    batch: str = Field(description="its id")
    name: str
    owner: str = ""
    state: Literal["done", "failed", "cancelled"] = Field(description="failed: at least one pair failed")
    counts: Counts
    seconds: float | None = Field(description="from submission to end; null when the ledger forgot the batch")
    busy_seconds: float | None = Field(description="summed over its done pairs")
    store: str = Field(description="URL of the store, under which the keys lie")
    outputs_prefix: str = Field(description="what every key of its pictures and metadata starts with")
    report_key: str | None = Field(
        description="its report.json (report.csv lies beside it); null when it was not written in time"
    )


class _Pair(_Part):
    batch: str = Field(description="the batch's id")
    name: str = Field(description="the batch's name")
    pair: int = Field(description="its number in the batch")
    content: str = Field(description="the content's name; empty when the batch's files are gone")
    style: str = Field(description="the style's name, or the blend's")


class PairIsDone(_Pair):
    """A picture is in the store, its metadata beside it. What its metadata says is null when that is gone."""

    store: str = Field(description="URL of the store, under which the keys lie")
    picture_key: str | None
    metadata_key: str | None
    fingerprint: str | None = Field(description="the result's identity: same fingerprint, same picture")
    width_px: int | None
    height_px: int | None
    steps: int | None
    loss: float | None = Field(description="weighted total of the last evaluation")
    seconds: float | None = Field(description="from the worker's start on it to its end; 0 when reused")
    attempts: int | None
    reused_from: str | None = Field(
        None,
        description="key of the metadata of the earlier result that it is a copy of; null when it was made",
    )


class PairHasFailed(_Pair):
    """A pair that won't be done, unless people retry it; it is then told of again."""

    kind: str = Field(description="the kind of error, as in the report")
    error: str
    attempts: int | None = Field(description="null when the workers that ran it died")


class ScheduleIsFinished(_Part):
    """One firing of a schedule, from its listing to the end of its batch."""

    schedule: str = Field(description="its name")
    fired_at: datetime = Field(description="the moment it was due")
    outcome: Literal["done", "failed", "cancelled", "nothing_new", "skipped", "error"] = Field(
        description="nothing_new: all results were there; skipped: the night before still ran; "
        "error: no batch could be made"
    )
    batch: str | None = Field(None, description="the batch it made, null when it made none")
    done: int = Field(0, description="pairs made")
    reused: int = Field(0, description="pairs whose result was there already")
    failed: int = 0
    cancelled: int = 0
    seconds: float | None = Field(None, description="from the firing to the end")
    gallery: str | None = Field(None, description="address of the batch's gallery")
    report_key: str | None = None
    error: str = Field("", description="why no batch could be made")


class IsATest(_Part):
    """Sent by `impasto webhooks test`."""

    message: str


class _Event(_Part):
    timestamp: datetime = Field(description="when it happened, in UTC; not when it was sent")


class BatchFinished(_Event):
    """Every pair of a batch is settled, however: told once at each end of each batch."""

    type: Literal[WebhookType.BATCH_FINISHED] = WebhookType.BATCH_FINISHED
    data: BatchOver


class BatchFailed(_Event):
    """The same, besides, of a batch in which pairs failed."""

    type: Literal[WebhookType.BATCH_FAILED] = WebhookType.BATCH_FAILED
    data: BatchOver


class PairDone(_Event):
    """A pair is done."""

    type: Literal[WebhookType.PAIR_DONE] = WebhookType.PAIR_DONE
    data: PairIsDone


class PairFailed(_Event):
    """A pair failed for good."""

    type: Literal[WebhookType.PAIR_FAILED] = WebhookType.PAIR_FAILED
    data: PairHasFailed


class ScheduleFinished(_Event):
    """A night's summary."""

    type: Literal[WebhookType.SCHEDULE_FINISHED] = WebhookType.SCHEDULE_FINISHED
    data: ScheduleIsFinished


class WebhookTest(_Event):
    """Somebody tries the webhook."""

    type: Literal[WebhookType.TEST] = WebhookType.TEST
    data: IsATest


WebhookEvent = Annotated[
    BatchFinished | BatchFailed | PairDone | PairFailed | ScheduleFinished | WebhookTest,
    Field(discriminator="type"),
]
EVENT: Final[TypeAdapter[WebhookEvent]] = TypeAdapter(WebhookEvent)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a POST's body."""
    return {"title": "WebhookEvent", **EVENT.json_schema(mode="serialization")}
