"""A schedule's fire: what is new becomes a batch, once, however often the fire is repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from impasto.producer.collect import OnProgress
from impasto.producer.connection import Connection
from impasto.producer.nights.finish import tell
from impasto.producer.nights.index import Index, changing
from impasto.producer.nights.past import is_told, open_nights, resume, under_way
from impasto.producer.nights.plan import Plan
from impasto.producer.nights.planner import Planner
from impasto.producer.nights.summary import Night, NightSummary, RejectedInput
from impasto.producer.nights.units import judged_by
from impasto.producer.opening import check_names, make_spec, open_batch
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.producer.submit import inputs_were
from impasto.shared import layout
from impasto.shared.errors import ObjectMissing
from impasto.shared.jobs import BatchSpec
from impasto.shared.settings import ENGINE_VERSION

if TYPE_CHECKING:
    from impasto.producer.client import Client


@dataclass(frozen=True)
class NightOutcome:
    """What a fire has come to by now.

    `batch` None: nothing was new. `known` pairs have their results from earlier nights, `under_way` ones are
    in the batch of one that is not over. `rejected` counts inputs that are no pictures.
    """

    batch: str | None
    pairs: int
    known: int
    under_way: int
    rejected: int
    message: str

    @classmethod
    def of(cls, night: Night | NightSummary) -> Self:
        return cls(night.batch, night.pairs, night.known, night.under_way, night.rejected, night.message)


def run_night(
    client: Client,
    schedule: ScheduleSpec,
    *,
    fired_at: datetime,
    on_progress: OnProgress | None = None,
    before_it_runs: Callable[[str], object] | None = None,
) -> NightOutcome:
    """Submit the pairs of the schedule that have no result and are not under way; nothing when there is none.

    Only inputs that look other than last time are opened, and uploaded where the store lacks them. The same
    `fired_at` is the same batch, and the same answer, whatever has changed since: a process that died half
    way is followed by one that goes on. `before_it_runs` is called with the batch's id before any pair is
    sent, if it is opened here for the first time. The summary comes with `finish_nights`, or at once when
    nothing was new. Raises SubmissionRefused when no style is left, BadSettings, LedgerUnavailable,
    StoreUnavailable, StoreRefused.
    """
    connection = client.connection
    # Hours of upload would be lost on a Redis or a bucket that isn't there.
    connection.check()
    earlier = _earlier(connection, schedule.name, fired_at)
    if earlier is not None:
        return earlier
    started_at = datetime.now(UTC)
    plan = _plan(connection, schedule, on_progress)
    night = Night(
        schedule=schedule.name,
        fired_at=fired_at,
        started_at=started_at,
        batch=None,
        pairs=plan.pairs,
        known=plan.known,
        under_way=plan.under_way,
        contents=plan.contents,
        styles=plan.styles_found,
        rejected=len(plan.rejected),
        rejected_inputs=RejectedInput.first_of(plan.rejected),
        message=_message(plan),
        engine_version=ENGINE_VERSION,
    )
    if not plan.pairs:
        tell(connection, _nothing_new(night))
        return NightOutcome.of(night)
    spec = _write(connection, schedule, fired_at, plan)
    night = night.model_copy(update={"batch": spec.batch})
    # From here on whoever comes by opens this batch and no other.
    body = night.model_dump_json(indent=2).encode()
    key = layout.open_night_key(schedule.name, fired_at)
    if connection.store.put_if_absent(key, body, content_type="application/json"):
        open_batch(connection, spec, before_it_runs=before_it_runs)
        return NightOutcome.of(night)
    for info in list(connection.store.list(layout.batch_prefix(spec.batch))):
        connection.store.delete(info.key)
    return _earlier(connection, schedule.name, fired_at) or NightOutcome.of(night)


def _earlier(connection: Connection, name: str, fired_at: datetime) -> NightOutcome | None:
    """What the same fire has come to, if it was seen before: its batch is opened where that is missing."""
    key = layout.open_night_key(name, fired_at)
    try:
        night = Night.model_validate_json(connection.store.get(key))
    except (ObjectMissing, ValidationError):
        return None if (told := is_told(connection.store, name, fired_at)) is None else NightOutcome.of(told)
    resume(connection, night)
    return NightOutcome.of(night)


def _plan(connection: Connection, schedule: ScheduleSpec, on_progress: OnProgress | None) -> Plan:
    """What is new; what was seen of the inputs is remembered."""
    judges = judged_by(connection.deployment)
    index = Index.load(connection.store, schedule.name, judged_by=judges)
    planner = Planner(
        schedule,
        schedule.style_settings(connection.deployment),
        deployment=connection.deployment,
        store=connection.store,
        index=index,
        under_way=under_way(connection, open_nights(connection.store, schedule.name)),
        on_progress=on_progress,
    )
    plan = planner.plan()
    today = datetime.now(UTC).date()
    if index.is_news(planner.observed, today):
        with changing(connection, schedule.name, judged_by=judges) as latest:
            latest.see(planner.observed, today)
    return plan


def _write(connection: Connection, schedule: ScheduleSpec, fired_at: datetime, plan: Plan) -> BatchSpec:
    zipped = not plan.is_product
    check_names(schedule.output_names, plan.content_refs(), plan.style_refs(), zipped=zipped)
    spec = make_spec(
        connection.store,
        schedule.style_settings(connection.deployment),
        contents=plan.pairs if zipped else len(plan.wanted),
        styles=plan.pairs if zipped else len(plan.wanted[0].styles),
        pairs="zip" if zipped else "product",
        name=schedule.batch_name(fired_at),
        owner=schedule.owner,
        priority=schedule.priority,
        token=schedule.token(fired_at),
        output_names=schedule.output_names,
    )
    connection.batches.write(spec, plan.content_refs(), plan.style_refs())
    return spec


def _nothing_new(night: Night) -> NightSummary:
    finished_at = datetime.now(UTC)
    return NightSummary(
        schedule=night.schedule,
        fired_at=night.fired_at,
        outcome="nothing_new",
        message=night.message,
        started_at=night.started_at,
        finished_at=finished_at,
        seconds=(finished_at - night.started_at).total_seconds(),
        contents=night.contents,
        styles=night.styles,
        known=night.known,
        under_way=night.under_way,
        rejected=night.rejected,
        rejected_inputs=night.rejected_inputs,
    )


def _message(plan: Plan) -> str:
    """One sentence for people."""
    every = plan.pairs + plan.known + plan.under_way
    parts = [f"{plan.known:,} are done"] if plan.known else []
    if plan.under_way:
        parts.append(f"{plan.under_way:,} are under way")
    rest = f" ({', '.join(parts)})" if parts else ""
    if plan.pairs:
        told = f"{plan.pairs:,} new {'pair' if plan.pairs == 1 else 'pairs'} of {every:,}{rest}"
    elif every:
        told = f"nothing new among {every:,} {'pair' if every == 1 else 'pairs'}{rest}"
    else:
        told = "nothing new: there is no content"
    if plan.rejected:
        told += f"; {inputs_were(len(plan.rejected))} rejected"
    return told
