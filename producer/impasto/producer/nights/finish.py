"""The end of a night: its results are known from then on, its gallery is made, and its summary is told."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.gallery import build_gallery
from impasto.producer.nights.index import changing
from impasto.producer.nights.past import open_nights, pairs_of, resume
from impasto.producer.nights.summary import MOST_REASONS, FailedPair, Night, NightSummary, Outcome
from impasto.producer.nights.units import judged_by
from impasto.producer.webhooks.outbox import add_to_outbox
from impasto.producer.webhooks.payloads import ScheduleIsFinished
from impasto.shared import layout
from impasto.shared.errors import ImpastoError, ObjectMissing, Permanent, Transient
from impasto.shared.ledger import BatchState, BatchStatus, PairState
from impasto.shared.reports import write_report
from impasto.shared.settings import ENGINE_VERSION
from impasto.shared.store import ObjectStore

if TYPE_CHECKING:
    from impasto.producer.client import Client

log: Any = structlog.get_logger()

_WORKERS_SECONDS: Final = 600.0
"""How long a report is the workers' to write; then there are none, and it is written here."""


@dataclass
class _Outcomes:
    """What the batch's report says."""

    done: list[int] = field(default_factory=list)
    reused: int = 0
    failed: int = 0
    cancelled: int = 0
    failures: list[FailedPair] = field(default_factory=list)


def finish_nights(client: Client) -> None:
    """Tell of every night that is over: remember its results, make its gallery, put its summary.

    One listing where no night is under way, so it may be called every few seconds; with a large batch just
    over it takes as long as its gallery. Safe to repeat, and to be killed anywhere: what was not told is told
    by the next call, and a night that was planned and not submitted is submitted. What goes wrong with one
    night is logged and leaves the others alone. Raises StoreUnavailable and StoreRefused when the listing
    fails.
    """
    connection = client.connection
    for night in open_nights(connection.store):
        try:
            _finish(connection, night)
        except Transient as error:
            log.warning("night.not_finished", schedule=night.schedule, error=str(error))
        except ImpastoError as error:
            log.error("night.not_finished", schedule=night.schedule, error=str(error))
        except Exception:
            # The oldest comes first: one that nobody can read would keep all later ones from being told.
            log.exception("night.fault", schedule=night.schedule)


def tell(connection: Connection, summary: NightSummary) -> None:
    """Put the summary where people look for it, and hand it to the webhooks.

    The one with the latest `fired_at` is `latest.json`. Last of all the night is no longer under way. Safe to
    repeat. Raises LedgerUnavailable and the store's errors.
    """
    store, name = connection.store, summary.schedule
    body = summary.model_dump_json(indent=2).encode()
    store.put(layout.night_key(name, summary.fired_at), body, content_type="application/json")
    latest = _latest(store, name)
    if latest is None or latest.fired_at <= summary.fired_at:
        store.put(layout.latest_night_key(name), body, content_type="application/json")
    add_to_outbox(connection, _payload(summary))
    store.delete(layout.open_night_key(name, summary.fired_at))
    log.info("night.told", schedule=name, outcome=summary.outcome, batch=summary.batch)


def tell_of_none(
    connection: Connection,
    name: str,
    fired_at: datetime,
    outcome: Literal["skipped", "error"],
    message: str,
) -> None:
    """The same of a fire that made no batch, and why; nothing where one was made after all.

    Raises as `tell`.
    """
    store = connection.store
    known = (layout.open_night_key(name, fired_at), layout.night_key(name, fired_at))
    if any(store.head(key) is not None for key in known):
        return
    now = datetime.now(UTC)
    summary = NightSummary(
        schedule=name,
        fired_at=fired_at,
        outcome=outcome,
        message=message,
        started_at=now,
        finished_at=now,
        seconds=0.0,
    )
    tell(connection, summary)


def _latest(store: ObjectStore, name: str) -> NightSummary | None:
    try:
        return NightSummary.model_validate_json(store.get(layout.latest_night_key(name)))
    except (ObjectMissing, ValidationError):
        return None


def _payload(summary: NightSummary) -> ScheduleIsFinished:
    return ScheduleIsFinished(
        schedule=summary.schedule,
        fired_at=summary.fired_at,
        outcome=summary.outcome,
        batch=summary.batch,
        done=summary.done,
        reused=summary.reused,
        failed=summary.failed,
        cancelled=summary.cancelled,
        seconds=summary.seconds,
        gallery=summary.gallery_url,
        report_key=summary.report_keys[0] if summary.report_keys else None,
        error=summary.message if summary.outcome == "error" else "",
    )


def _finish(connection: Connection, night: Night) -> None:
    """Nothing while the night's batch is not over, or its report is not written."""
    batch = night.batch
    if batch is None:
        return
    if not resume(connection, night):
        tell(connection, _unknown(night, _outcomes(connection.store, batch)))
        return
    status = connection.ledger.status(batch)
    if not status.is_over:
        return
    outcomes = _reported(connection, status)
    if outcomes is None:
        return
    _remember(connection, night, batch, outcomes)
    key, url = _gallery(connection, batch)
    tell(connection, _summary(night, status, outcomes, key, url))


def _reported(connection: Connection, status: BatchStatus) -> _Outcomes | None:
    """What the report of this end says; a retried batch has one of an earlier end for a while."""
    outcomes = _outcomes(connection.store, status.batch)
    if _agree(outcomes, status):
        return outcomes
    over_seconds = time.time() - (status.finished_ms or 0) / 1000
    if over_seconds < _WORKERS_SECONDS:
        return None
    write_report(status.batch, connection.ledger, connection.batches)
    return _outcomes(connection.store, status.batch)


def _agree(outcomes: _Outcomes | None, status: BatchStatus) -> bool:
    return outcomes is not None and (outcomes.failed, outcomes.cancelled) == (status.failed, status.cancelled)


def _outcomes(store: ObjectStore, batch: str) -> _Outcomes | None:
    """None when there is no report."""
    try:
        text = store.get(layout.report_key(batch, "csv")).decode()
    except ObjectMissing:
        return None
    outcomes = _Outcomes()
    for row in csv.DictReader(io.StringIO(text, newline="")):
        if row["state"] == PairState.DONE:
            # Without one its metadata were removed, and its picture perhaps with them.
            if row["fingerprint"]:
                outcomes.done.append(int(row["pair"]))
            outcomes.reused += bool(row.get("reused_from"))
        elif row["state"] == PairState.FAILED:
            outcomes.failed += 1
            if len(outcomes.failures) < MOST_REASONS:
                outcomes.failures.append(
                    FailedPair(
                        pair=int(row["pair"]),
                        content=row["content"],
                        style=row["style"],
                        error=row["error"] or "",
                    )
                )
        elif row["state"] == PairState.CANCELLED:
            outcomes.cancelled += 1
    return outcomes


def _remember(connection: Connection, night: Night, batch: str, outcomes: _Outcomes) -> None:
    """What is done is not made again. Of another engine's results nothing is known."""
    if night.engine_version != ENGINE_VERSION or not outcomes.done:
        return
    done = iter(outcomes.done)
    judges = judged_by(connection.deployment)
    with changing(connection, night.schedule, judged_by=judges) as index:
        for content, look in _of_pairs(connection, batch, done):
            index.add_result(content, look)


def _of_pairs(connection: Connection, batch: str, done: Iterator[int]) -> Iterator[tuple[bytes, str]]:
    """Content's identity and look of these pairs, which ascend."""
    wanted = next(done, None)
    try:
        for pair, content, look in pairs_of(connection.batches, batch):
            if pair == wanted:
                yield content, look
                wanted = next(done, None)
    except Permanent as error:
        # The batch's files are gone: the next night finds by its fingerprint what is still there.
        log.warning("night.not_remembered", batch=batch, error=str(error))


def _gallery(connection: Connection, batch: str) -> tuple[str | None, str | None]:
    """The gallery's key and address; none where it can't be made, which must not cost the summary."""
    try:
        gallery = build_gallery(connection, batch, put=True)
    except Exception as error:
        log.warning("night.no_gallery", batch=batch, error=str(error), kind=type(error).__name__)
        return None, None
    return gallery.index, gallery.url


def _summary(
    night: Night, status: BatchStatus, outcomes: _Outcomes, gallery_key: str | None, gallery_url: str | None
) -> NightSummary:
    outcome: Outcome = "done"
    if status.state is BatchState.CANCELLED:
        outcome = "cancelled"
    elif status.failed:
        outcome = "failed"
    finished_at = datetime.fromtimestamp((status.finished_ms or 0) / 1000, UTC)
    made = status.done - outcomes.reused
    parts = [f"{made:,} of {status.total:,} pairs made"]
    parts += [f"{n:,} {what}" for n, what in ((outcomes.reused, "re-used"), (status.failed, "failed")) if n]
    if status.cancelled:
        parts.append(f"{status.cancelled:,} cancelled")
    return NightSummary(
        **_planned(night),
        outcome=outcome,
        message=", ".join(parts),
        finished_at=finished_at,
        seconds=round(max(0.0, (finished_at - night.started_at).total_seconds()), 3),
        done=status.done,
        reused=outcomes.reused,
        failed=status.failed,
        cancelled=status.cancelled,
        failures=tuple(outcomes.failures),
        gallery_key=gallery_key,
        gallery_url=gallery_url,
        report_keys=_report_keys(status.batch),
    )


def _unknown(night: Night, outcomes: _Outcomes | None) -> NightSummary:
    """Of a batch that the ledger was told to forget before anyone asked how it ended."""
    now = datetime.now(UTC)
    told = outcomes or _Outcomes()
    return NightSummary(
        **_planned(night),
        outcome="error",
        message=f"batch {night.batch} was purged before its end was told",
        finished_at=now,
        seconds=round(max(0.0, (now - night.started_at).total_seconds()), 3),
        done=len(told.done),
        reused=told.reused,
        failed=told.failed,
        cancelled=told.cancelled,
        failures=tuple(told.failures),
        report_keys=_report_keys(night.batch) if night.batch and outcomes else (),
    )


def _planned(night: Night) -> dict[str, Any]:
    """What was known before anything was made."""
    kept = NightSummary.model_fields.keys() & Night.model_fields.keys() - {"version", "message"}
    return {name: getattr(night, name) for name in kept}


def _report_keys(batch: str) -> tuple[str, str]:
    return layout.report_key(batch, "json"), layout.report_key(batch, "csv")
