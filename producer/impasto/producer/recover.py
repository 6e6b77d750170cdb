"""The ledger from the store: every batch that the store has and the ledger lacks, with what is done of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from pydantic import BaseModel, ValidationError

from impasto.producer.collect import OnProgress, Progress
from impasto.producer.connection import Connection
from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ImpastoError, NoSuchBatch, ObjectMissing, Permanent
from impasto.shared.jobs import BatchSpec, Content, StyleRef, fingerprint, weighted
from impasto.shared.ledger import BatchOpening, BatchState, Control, Failure, Ledger, PairState
from impasto.shared.metadata import BlendRecord, InputRecord, OutputMetadata
from impasto.shared.store import ObjectInfo

_READERS: Final = 16
_FAILED_AT_ONCE: Final = 256
_LEASE: Final = "recover"


@dataclass(frozen=True)
class Recovered:
    """A batch that the ledger knows again. `done`: pairs whose result was found in the store."""

    batch: str
    name: str
    total: int
    done: int
    state: BatchState


@dataclass(frozen=True)
class Recovery:
    """What came of a recovery. `known`: batches that the ledger has and that were left as they are.

    `passed_over`: batches that were purged, or are past their retention. `problems`: batches and schedules
    that can't be read from the store, a line each. `schedules`: those that fire again.
    """

    recovered: tuple[Recovered, ...]
    known: int
    passed_over: tuple[str, ...]
    problems: tuple[str, ...]
    schedules: tuple[str, ...] = ()


class _Pair(BaseModel):
    """What matters of a reported pair here."""

    pair: int
    content: str
    style: str
    state: str
    attempts: int | None
    error_kind: str | None
    error: str | None

    def failure(self) -> Failure:
        return Failure(
            self.pair,
            self.error_kind or "error",
            self.error or "",
            attempts=self.attempts or 0,
            content=self.content,
            style=self.style,
            failed_ms=0,
        )


class _Outcome(BaseModel):
    """What matters of a report here."""

    state: BatchState
    written_at: datetime
    pairs: tuple[_Pair, ...]


def recover(
    connection: Connection, names: Sequence[str] = (), on_progress: OnProgress | None = None
) -> Recovery:
    """Rebuild the named batches, or all but the purged ones; the oldest first, so `latest` is right again.

    Without names schedules come back too.

    A batch is opened and paused, each pair whose result lies in the store is counted as done, and then it
    goes on, or ends as its report says: cancelled, or with the same failures. Failures of a batch that was
    not over are not in the store: those pairs are tried again. A batch that the ledger has is not touched, so
    it may be repeated. Raises NoSuchBatch for a name that the store has not, LedgerUnavailable,
    StoreUnavailable.
    """
    # RedBeat takes its time to load, and every command loads this module.
    from impasto.producer.schedules.recovery import recover_schedules

    files, ledger = connection.batches, connection.ledger
    in_store = _batches_in(files)
    wanted = [_named(name, in_store) for name in names] if names else in_store
    known = set(ledger.batches())
    specs: list[BatchSpec] = []
    passed_over: list[str] = []
    problems: list[str] = []
    for batch in dict.fromkeys(wanted):
        if batch in known:
            continue
        if not names and _is_forgotten(files, batch, connection.deployment.retention_days):
            passed_over.append(batch)
            continue
        try:
            specs.append(files.spec(batch))
        except Permanent as error:
            problems.append(str(error))
    recovered: list[Recovered] = []
    rebuilt: list[BatchSpec] = []
    for spec in sorted(specs, key=lambda spec: spec.created_at):
        try:
            done = list(_done_pairs(files, spec, on_progress))
        except Permanent as error:
            problems.append(str(error))
            continue
        recovered.append(_rebuild(ledger, files, spec, done))
        rebuilt.append(spec)
        files.store.delete(layout.purged_key(spec.batch))
        # What can't be published now is due all the same: a worker's sweep finds it.
        with contextlib.suppress(ImpastoError):
            connection.dispatcher.advance(spec.batch)
    schedules = () if names else recover_schedules(connection, rebuilt, problems)
    return Recovery(
        tuple(recovered), len(known & set(wanted)), tuple(passed_over), tuple(problems), schedules
    )


def _batches_in(files: BatchFiles) -> list[str]:
    """Batches whose spec is there: it is written last."""
    keys = (info.key.removeprefix(layout.BATCHES) for info in files.store.list(layout.BATCHES))
    parts = (key.split("/") for key in keys)
    return [part[0] for part in parts if part[1:] == [layout.SPEC_NAME]]


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
    outcome = _outcome(files, batch)
    return outcome is not None and datetime.now(UTC) - outcome.written_at > timedelta(days=retention_days)


def _outcome(files: BatchFiles, batch: str) -> _Outcome | None:
    """How the batch ended; None when it did not, or nobody could tell."""
    try:
        return _Outcome.model_validate_json(files.store.get(layout.report_key(batch, "json")))
    except (ObjectMissing, ValidationError):
        return None


def _rebuild(ledger: Ledger, files: BatchFiles, spec: BatchSpec, done: Iterable[int]) -> Recovered:
    outcome = _outcome(files, spec.batch)
    ended = None if outcome is None else outcome.state
    opening = BatchOpening(spec.batch, spec.total, spec.name, priority=spec.priority, token=spec.token)
    if ledger.open(opening).batch != spec.batch:
        # The same token has made another batch since; both are real.
        ledger.open(BatchOpening(spec.batch, spec.total, spec.name, priority=spec.priority))
    # Paused, so that no worker is sent to what is about to be counted.
    ledger.control(spec.batch, Control.PAUSE)
    try:
        counted = 0
        for pair in done:
            settled = ledger.finish(spec.batch, pair, lease_id=_LEASE, busy_seconds=0.0)
            counted += settled.counted
    finally:
        # Also when it is interrupted: a worker finds by its fingerprint what was not counted here.
        ledger.control(spec.batch, Control.CANCEL if ended is BatchState.CANCELLED else Control.RESUME)
    if outcome is not None and ended is BatchState.FAILED:
        _fail_as_before(ledger, spec.batch, outcome)
    return Recovered(spec.batch, spec.name, spec.total, counted, ledger.status(spec.batch).state)


def _fail_as_before(ledger: Ledger, batch: str, outcome: _Outcome) -> None:
    """What failed for good would fail again, and may have cost workers their lives.

    A pair that a worker takes in between is only tried once more.
    """
    failed = {pair.pair: pair for pair in outcome.pairs if pair.state == PairState.FAILED}
    while due := ledger.advance(batch, min_window=_FAILED_AT_ONCE):
        for pair in failed.keys() & set(due):
            ledger.lease(batch, pair, worker=_LEASE, lease_id=_LEASE, ttl_seconds=60)
            ledger.fail(batch, pair, lease_id=_LEASE, failure=failed[pair].failure())


def _done_pairs(files: BatchFiles, spec: BatchSpec, on_progress: OnProgress | None) -> Iterator[int]:
    """Pairs whose picture lies in the store whole, with metadata of the fingerprint that they must have."""
    matrix = _Matrix(files, spec)
    prefix = layout.outputs_prefix(spec.batch)
    sizes = {info.key: info.size_bytes for info in files.store.list(prefix)}
    sidecars = [ObjectInfo(key, size) for key, size in sizes.items() if key.endswith(".json")]

    def pair_of(info: ObjectInfo) -> int | None:
        stem = info.key.removeprefix(prefix).removesuffix(".json")
        try:
            metadata = OutputMetadata.model_validate_json(files.store.get(info.key))
        except (ObjectMissing, ValidationError):
            return None
        whole = sizes.get(metadata.picture_key) == metadata.picture_bytes
        return matrix.pair(stem, metadata) if whole else None

    bytes_read, bytes_total = 0, sum(info.size_bytes for info in sidecars)
    for n, (info, pair) in enumerate(each(pair_of, sidecars, threads=_READERS), start=1):
        bytes_read += info.size_bytes
        if on_progress is not None:
            on_progress(Progress("results", n, len(sidecars), bytes_read, bytes_total))
        if pair is not None:
            yield pair


@dataclass(frozen=True, slots=True)
class _ContentDigests:
    """What a content's names and fingerprints need: a batch may have a million, so nothing more is kept."""

    slug: str
    path: str
    sha256: str | None
    has_mask: bool
    mask_sha256: str | None

    @classmethod
    def of(cls, content: Content) -> Self:
        mask = content.mask
        mask_sha256 = None if mask is None else mask.sha256
        return cls(content.slug, content.path, content.sha256, mask is not None, mask_sha256)


def _digests(style: StyleRef) -> tuple[tuple[str | None, float], ...]:
    return tuple((ref.sha256, weight) for ref, weight in weighted(style))


def _paintings(style: InputRecord | BlendRecord) -> tuple[InputRecord, ...]:
    return style.blend if isinstance(style, BlendRecord) else (style,)


class _Matrix:
    """From an output back to its pair."""

    def __init__(self, files: BatchFiles, spec: BatchSpec) -> None:
        contents = (files.content(spec.batch, i) for i in range(spec.contents))
        styles = (files.style(spec.batch, i) for i in range(spec.styles))
        self._spec = spec
        self._contents = [_ContentDigests.of(ref) for ref in contents]
        self._styles = [(ref.slug, _digests(ref)) for ref in styles]

    def pair(self, stem: str, metadata: OutputMetadata) -> int | None:
        """None when that pair's output is called otherwise, or is not the one that it should have."""
        try:
            content, style = self._spec.indices(metadata.pair)
        except IndexError:
            return None
        of_content, (style_slug, of_style) = self._contents[content], self._styles[style]
        if stem != self._spec.output_stem(of_content.slug, of_content.path, style_slug):
            return None
        made_from = _paintings(metadata.style)
        if len(made_from) != len(of_style) or (metadata.mask is None) == of_content.has_mask:
            return None
        # What lies in S3 may have been submitted by its address alone: then the metadata knows its digest.
        expected = fingerprint(
            of_content.sha256 or metadata.content.sha256,
            [
                (sha256 or record.sha256, weight)
                for (sha256, weight), record in zip(of_style, made_from, strict=True)
            ],
            self._spec.settings,
            mask_sha256=None if metadata.mask is None else of_content.mask_sha256 or metadata.mask.sha256,
        )
        return metadata.pair if metadata.fingerprint == expected else None
