"""What Redis keeps of a schedule beside its spec: fires that are to be done, and what came of others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

By = Literal["clock", "person"]


class Fire(BaseModel):
    """One time that a schedule fires, kept from before it is done until it is.

    `fired_at` is its nominal time, which with the name is its identity; `noticed_at` when a beat saw that it
    was due. `attempts` counts the processes that began it and did not end it; `note` says why it waits.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schedule: str
    fired_at: AwareDatetime
    noticed_at: AwareDatetime
    by: By = "clock"
    attempts: int = 0
    note: str = ""

    @property
    def key(self) -> str:
        """What tells it from all other fires."""
        return f"{self.schedule} {self.fired_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class FireResult(BaseModel):
    """What came of a fire.

    `submitted`: `batch` is on its way. `nothing_new`: no pair was to be made. `skipped`: an earlier batch
    ran still, or the schedule is paused. `missed`: nobody was there to see it. `failed`: `message` says why.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fired_at: AwareDatetime
    at: AwareDatetime
    by: By
    outcome: Literal["submitted", "nothing_new", "skipped", "missed", "failed"]
    batch: str | None = None
    pairs: int = 0
    message: str = ""


class ScheduleState(BaseModel):
    """The last results, newest first, and the batches that were not over when somebody looked last."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    results: tuple[FireResult, ...] = ()
    open_batches: tuple[str, ...] = ()

    def after(self, result: FireResult, *, open_batches: tuple[str, ...], kept: int = 10) -> ScheduleState:
        """With one more result."""
        return ScheduleState(results=(result, *self.results)[:kept], open_batches=open_batches)


def whole_second(moment: datetime) -> datetime:
    """In UTC, as fires are told apart."""
    return moment.astimezone(UTC).replace(microsecond=0)
