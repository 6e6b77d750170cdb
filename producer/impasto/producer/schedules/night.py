"""What a fire does, behind one name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from impasto.producer.client import Client
from impasto.producer.schedules.spec import ScheduleSpec


@dataclass(frozen=True)
class NightOutcome:
    """`batch` None: there was nothing to do."""

    batch: str | None
    pairs: int
    message: str


def run_night(client: Client, schedule: ScheduleSpec, *, fired_at: datetime) -> NightOutcome:
    """Submit the whole matrix, once a fire."""
    submission = client.submit(
        schedule.contents,
        schedule.style_sources,
        masks=schedule.masks,
        settings=schedule.style_settings(client.deployment),
        name=schedule.batch_name(fired_at),
        owner=schedule.owner,
        priority=schedule.priority,
        pairs=schedule.pairs,
        token=schedule.token(fired_at),
    )
    return NightOutcome(submission.batch, submission.pairs, f"{submission.pairs} pairs")
