"""A batch's report: every pair of its manifest in one terminal state, as JSON and as CSV.

Written to the store at the batch's end by a worker; anyone can build it again from ledger and store.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ObjectMissing
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import Failure, Ledger, PairState
from impasto.shared.metadata import OutputMetadata

_READERS = 16
_AT_A_TIME = 250
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class ReportedPair(BaseModel):
    """One pair. Times, losses and keys are those of its metadata, None where it has none.

    `started_at` and `finished_at` are of the try that made it; of a failed pair only its end is known.
    `reused_from` is the metadata's key of the result that was copied, which took no `seconds`.
    """

    model_config = ConfigDict(frozen=True)

    pair: int
    content: str
    style: str
    state: PairState
    picture_key: str | None = None
    metadata_key: str | None = None
    fingerprint: str | None = None
    seconds: float | None = None
    steps: int | None = None
    first_loss: float | None = None
    last_loss: float | None = None
    attempts: int | None = None
    error_kind: str | None = None
    error: str | None = None
    reused_from: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Report(BaseModel):
    """The whole batch; `counts` sum up `pairs`.

    `finished_at` is when it ended, by the ledger's clock; None for a batch that is not over.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    batch: str
    name: str
    state: str
    counts: dict[str, int]
    written_at: datetime
    finished_at: datetime | None = None
    pairs: tuple[ReportedPair, ...]

    def to_csv(self) -> str:
        """RFC 4180: one record a pair under a header, the same columns as in the JSON.

        A text that a spreadsheet would take for a formula has an apostrophe before it.
        """
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(ReportedPair.model_fields), lineterminator="\r\n")
        writer.writeheader()
        for pair in self.pairs:
            cells = pair.model_dump(mode="json")
            writer.writerow({name: _harmless(cell) for name, cell in cells.items()})
        return out.getvalue()


def build_report(
    batch: str, ledger: Ledger, files: BatchFiles, *, go_on: Callable[[], None] = lambda: None
) -> Report:
    """Raises NoSuchBatch, ObjectMissing when the batch's spec is gone, and the store's other errors.

    `go_on` is called before each of its parts, some hundred pairs; what it raises ends the work.
    """
    status = ledger.status(batch)
    done = set(ledger.done_pairs(batch))
    failures = {failure.pair: failure for failure in ledger.failures(batch)}
    rest = PairState.CANCELLED if status.state.is_final else PairState.WAITING

    def row(job: PairJob) -> ReportedPair:
        if job.pair in done:
            return _done(batch, job, files)
        return _not_done(job, failures.get(job.pair), rest)

    with ThreadPoolExecutor(_READERS) as pool:
        jobs = files.jobs(batch)
        # `map` takes all that it is given at once, and a batch may have a million.
        slices = iter(lambda: list(islice(jobs, _AT_A_TIME)), [])
        pairs = tuple(reported for part in slices for reported in _part(part, go_on, pool, row))
    return Report(
        batch=batch,
        name=status.name,
        state=status.state.value,
        counts=status.counts(),
        written_at=datetime.now(UTC),
        finished_at=None if status.finished_ms is None else utc(status.finished_ms),
        pairs=pairs,
    )


def _part(
    jobs: list[PairJob],
    go_on: Callable[[], None],
    pool: ThreadPoolExecutor,
    row: Callable[[PairJob], ReportedPair],
) -> Iterator[ReportedPair]:
    go_on()
    return pool.map(row, jobs)


def write_report(
    batch: str, ledger: Ledger, files: BatchFiles, *, go_on: Callable[[], None] = lambda: None
) -> Report:
    """Build the report, put it in the store in both forms, tell the ledger. Raises as `build_report`."""
    finished_ms = ledger.status(batch).finished_ms
    report = build_report(batch, ledger, files, go_on=go_on)
    go_on()
    files.store.put(
        layout.report_key(batch, "csv"), report.to_csv().encode(), content_type="text/csv; charset=utf-8"
    )
    files.store.put(
        layout.report_key(batch, "json"),
        report.model_dump_json(indent=2).encode(),
        content_type="application/json",
    )
    ledger.reported(batch, finished_ms)
    return report


def utc(at_ms: int) -> datetime:
    """A time of the ledger: milliseconds since the epoch."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _harmless(cell: object) -> object:
    """Names are whoever's who took the photograph, and a spreadsheet runs what begins so (CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_SIGNS) else cell


def _done(batch: str, job: PairJob, files: BatchFiles) -> ReportedPair:
    key = layout.metadata_key(batch, job.output_stem)
    base = ReportedPair(pair=job.pair, content=job.content.name, style=job.style.name, state=PairState.DONE)
    try:
        metadata = OutputMetadata.model_validate_json(files.store.get(key))
    except (ObjectMissing, ValidationError):
        return base.model_copy(update={"error": f"{key} was removed or damaged after the pair was done"})
    made_in = (metadata.finished_at - metadata.started_at).total_seconds()
    return base.model_copy(
        update={
            "picture_key": metadata.picture_key,
            "metadata_key": key,
            "fingerprint": metadata.fingerprint,
            "seconds": round(made_in, 3) if metadata.reused_from is None else 0.0,
            "steps": metadata.steps,
            "first_loss": metadata.losses.first.total,
            "last_loss": metadata.losses.last.total,
            "started_at": metadata.started_at,
            "finished_at": metadata.finished_at,
            "attempts": metadata.attempts,
            "reused_from": metadata.reused_from,
        }
    )


def _not_done(job: PairJob, failure: Failure | None, rest: PairState) -> ReportedPair:
    base = ReportedPair(pair=job.pair, content=job.content.name, style=job.style.name, state=rest)
    if failure is None:
        return base
    return base.model_copy(
        update={
            "state": PairState.FAILED,
            "attempts": failure.attempts,
            "error_kind": failure.kind,
            "error": failure.message,
            # A ledger that was rebuilt from a report knows no times.
            "finished_at": utc(failure.failed_ms) if failure.failed_ms else None,
        }
    )
