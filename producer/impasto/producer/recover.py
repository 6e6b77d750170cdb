"""The ledger from the store: every batch that the store has and the ledger lacks, with what is done of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from impasto.producer.collect import OnProgress
from impasto.producer.connection import Connection
from impasto.producer.done_pairs import done_pairs
from impasto.producer.doubles import doubles
from impasto.producer.outcome import Outcome
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ImpastoError, NoSuchBatch, Permanent, UnknownVersion
from impasto.shared.jobs import BatchSpec
from impasto.shared.ledger import BatchOpening, BatchState, Control, Lease, Ledger

_FAILED_AT_ONCE: Final = 256
_LEASE: Final = "recover"


@dataclass(frozen=True)
class Recovered:
    """A batch that the ledger knows again. `done`: pairs that were done already, as the store tells."""

    batch: str
    name: str
    total: int
    done: int
    state: BatchState


@dataclass(frozen=True)
class Recovery:
    """What came of a recovery. `known`: batches that the ledger has and that were left as they are.

    `passed_over`: batches that were purged, or are past their retention. `problems`: batches and schedules
    that can't be read from the store, a line each. `schedules`: those that fire again. `doubles`: batches of
    which nothing was ever done, each with the one that the same submission made when it was repeated.
    """

    recovered: tuple[Recovered, ...]
    known: int
    passed_over: tuple[str, ...]
    problems: tuple[str, ...]
    schedules: tuple[str, ...] = ()
    doubles: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Work:
    """Which batches are to be rebuilt, and what is told of the others."""

    specs: list[BatchSpec] = field(default_factory=list)
    known: int = 0
    passed_over: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    doubles: dict[str, str] = field(default_factory=dict)


def recover(
    connection: Connection, names: Sequence[str] = (), on_progress: OnProgress | None = None
) -> Recovery:
    """Rebuild the named batches, or all but the purged ones and doubles; the oldest first, so `latest` is
    right again. Without names schedules come back too.

    A batch is opened and paused, each pair whose result lies in the store is counted as done, and then it
    goes on, or ends as its report says: cancelled, or with the same failures. Failures of a batch that was
    not over, or was retried since, are not in the store: those pairs are tried again. A batch that the ledger
    has is not touched, unless its rebuilding was broken off: then that is repeated. Raises NoSuchBatch for a
    name that the store has not, LedgerUnavailable, StoreUnavailable.
    """
    # RedBeat takes its time to load, and every command loads this module.
    from impasto.producer.schedules.recovery import recover_schedules

    work = _work(connection, names)
    recovered: list[Recovered] = []
    rebuilt: list[BatchSpec] = []
    for spec in sorted(work.specs, key=lambda spec: spec.created_at):
        try:
            done = list(done_pairs(connection.batches, spec, on_progress))
        except (Permanent, UnknownVersion) as error:
            work.problems.append(str(error))
            continue
        again = _rebuild(connection.ledger, connection.batches, spec, done)
        if again is None:
            work.known += 1
            continue
        recovered.append(again)
        rebuilt.append(spec)
        connection.store.delete(layout.purged_key(spec.batch))
        # What can't be published now is due all the same: a worker's sweep finds it.
        with contextlib.suppress(ImpastoError):
            connection.dispatcher.advance(spec.batch)
    schedules = () if names else recover_schedules(connection, rebuilt, work.problems)
    return Recovery(
        tuple(recovered), work.known, tuple(work.passed_over), tuple(work.problems), schedules, work.doubles
    )


def _work(connection: Connection, names: Sequence[str]) -> _Work:
    files, ledger = connection.batches, connection.ledger
    in_store, broken_off = _batches_in(files)
    wanted = [_named(name, in_store) for name in names] if names else in_store
    known = set(ledger.batches())
    retention_days = connection.deployment.retention_days
    work = _Work()
    for batch in dict.fromkeys(wanted):
        if batch in known and batch not in broken_off:
            work.known += 1
        elif batch not in known and not names and _is_forgotten(files, batch, retention_days):
            work.passed_over.append(batch)
        else:
            try:
                work.specs.append(files.spec(batch))
            except (Permanent, UnknownVersion) as error:
                work.problems.append(str(error))
    if not names:
        work.doubles = doubles(files, ledger, work.specs, work.passed_over)
        work.specs = [spec for spec in work.specs if spec.batch not in work.doubles]
    return work


def _batches_in(files: BatchFiles) -> tuple[list[str], set[str]]:
    """Batches whose spec is there, which is written last; and those whose rebuilding was begun."""
    keys = (info.key.removeprefix(layout.BATCHES) for info in files.store.list(layout.BATCHES))
    whole: list[str] = []
    broken_off: set[str] = set()
    for batch, _, rest in (key.partition("/") for key in keys):
        if rest == layout.SPEC_NAME:
            whole.append(batch)
        elif rest == layout.RECOVERING_NAME:
            broken_off.add(batch)
    return whole, broken_off


def _named(name: str, batches: Sequence[str]) -> str:
    if name in batches:
        return name
    matching = [batch for batch in batches if batch.startswith(name)] if name else []
    if len(matching) != 1:
        raise NoSuchBatch(f"{len(matching) or 'no'} batches in the store begin with {name!r}: write its name")
    return matching[0]


def _is_forgotten(files: BatchFiles, batch: str, retention_days: float | None) -> bool:
    """Whether people, or the retention, had the ledger forget it."""
    if files.store.head(layout.purged_key(batch)) is not None:
        return True
    if retention_days is None:
        return False
    outcome = Outcome.of(files.store, batch)
    return outcome is not None and datetime.now(UTC) - outcome.written_at > timedelta(days=retention_days)


def _rebuild(ledger: Ledger, files: BatchFiles, spec: BatchSpec, done: Iterable[int]) -> Recovered | None:
    """None for a batch that somebody has opened meanwhile: it is left as it is.

    Each step may be repeated, also when people have used the batch in between: what is settled stays so.
    """
    mark = layout.recovering_key(spec.batch)
    body = json.dumps({"since": datetime.now(UTC).isoformat(timespec="seconds")}).encode()
    # First: whoever finds it goes on here, and does not take the batch for one that runs as it should.
    first = files.store.put_if_absent(mark, body, content_type="application/json")
    if not _open(ledger, spec) and first:
        files.store.delete(mark)
        return None
    outcome = Outcome.of(files.store, spec.batch)
    ended = None if outcome is None else outcome.state
    # Paused, so that no worker is sent to what is about to be counted.
    ledger.control(spec.batch, Control.PAUSE)
    try:
        for pair in done:
            ledger.finish(spec.batch, pair, lease_id=_LEASE, busy_seconds=0.0)
    finally:
        # Also when it is interrupted: a worker finds by its fingerprint what was not counted here.
        goes_on = Control.CANCEL if ended is BatchState.CANCELLED else Control.RESUME
        status = ledger.control(spec.batch, goes_on)
    if outcome is not None and ended is BatchState.FAILED:
        _fail_as_before(ledger, spec.batch, outcome, again=not first)
    files.store.delete(mark)
    return Recovered(spec.batch, spec.name, spec.total, status.done, ledger.status(spec.batch).state)


def _open(ledger: Ledger, spec: BatchSpec) -> bool:
    """Whether the ledger has not had it before."""
    opening = BatchOpening(spec.batch, spec.total, spec.name, priority=spec.priority, token=spec.token)
    opened = ledger.open(opening)
    if opened.batch != spec.batch:
        # The same token has made another batch since; both are real.
        opened = ledger.open(replace(opening, token=None))
    return opened.created


def _fail_as_before(ledger: Ledger, batch: str, outcome: Outcome, *, again: bool) -> None:
    """What failed for good would fail again, and may have cost workers their lives.

    A pair that a worker takes in between is only tried once more.
    """
    failed = outcome.failures()
    # Where it was broken off, some are due already, and no advance names them again.
    due = list(failed) if again else ledger.advance(batch, min_window=_FAILED_AT_ONCE)
    while due:
        for pair in failed.keys() & set(due):
            lease = ledger.lease(batch, pair, worker=_LEASE, lease_id=_LEASE, ttl_seconds=60)
            if isinstance(lease, Lease):
                ledger.fail(batch, pair, lease_id=_LEASE, failure=failed[pair])
        due = ledger.advance(batch, min_window=_FAILED_AT_ONCE)
