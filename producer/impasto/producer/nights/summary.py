"""`Night` and `NightSummary`: a fire of a schedule as the store keeps it, under way and over."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from impasto.producer.sources import Rejected

MOST_REASONS: Final = 10
"""How many rejected inputs and failed pairs a summary tells of; the report has all."""

Outcome = Literal["done", "failed", "cancelled", "nothing_new", "skipped", "error"]


class _Record(BaseModel):
    # Readers are asked to pass over what they do not know: fields may be added.
    model_config = ConfigDict(frozen=True)


class RejectedInput(_Record):
    """An input that is no picture, or can't be read."""

    input: str
    error: str

    @classmethod
    def first_of(cls, rejected: tuple[Rejected, ...]) -> tuple[RejectedInput, ...]:
        """As many as are told of."""
        return tuple(cls(input=one.input, error=one.error) for one in rejected[:MOST_REASONS])


class FailedPair(_Record):
    """A pair that failed; the next night tries it again."""

    pair: int
    content: str
    style: str
    error: str


class Night(_Record):
    """A fire whose batch is not over: what was planned. `batch` None when nothing was new."""

    version: Literal[1] = 1
    schedule: str
    fired_at: AwareDatetime
    started_at: AwareDatetime
    batch: str | None
    pairs: int
    known: int
    under_way: int
    contents: int
    styles: int
    rejected: int
    rejected_inputs: tuple[RejectedInput, ...]
    message: str
    engine_version: str


class NightSummary(_Record):
    """What came of one fire of a schedule; `latest.json` is that of the last one."""

    version: Literal[1] = 1
    schedule: str = Field(description="its name")
    fired_at: AwareDatetime = Field(description="the moment it was due")
    outcome: Outcome = Field(
        description="nothing_new: all results were there; skipped: the night before still ran; "
        "error: no batch could be made, or its end is not known"
    )
    message: str = Field(description="the same in a sentence")
    batch: str | None = Field(None, description="the batch it made; null when it made none")
    started_at: AwareDatetime = Field(description="when the inputs were listed")
    finished_at: AwareDatetime
    seconds: float = Field(description="from the one to the other")
    contents: int = Field(0, description="contents that were found, equal ones once")
    styles: int = Field(0, description="styles and blends that were found, equal ones once")
    pairs: int = Field(0, description="pairs of the batch")
    done: int = Field(0, description="pairs of the batch that are done, the re-used among them")
    reused: int = Field(0, description="pairs of the batch whose result another batch had made")
    failed: int = 0
    cancelled: int = 0
    known: int = Field(0, description="pairs that were not submitted, since earlier nights made them")
    under_way: int = Field(0, description="pairs that were not submitted, since an earlier night is at them")
    rejected: int = Field(0, description="inputs that are no pictures, or can't be read")
    rejected_inputs: tuple[RejectedInput, ...] = Field((), description="the first of them")
    failures: tuple[FailedPair, ...] = Field((), description="the first pairs that failed")
    gallery_key: str | None = Field(None, description="the gallery's page in the store")
    gallery_url: str | None = Field(None, description="what a browser opens")
    report_keys: tuple[str, ...] = Field((), description="report.json and report.csv of the batch")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `latest.json`."""
    return NightSummary.model_json_schema(mode="serialization")
