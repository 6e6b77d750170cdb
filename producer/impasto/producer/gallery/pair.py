"""What the page knows of each pair: from the ledger, and of what is done from its metadata."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.gallery.places import Place
from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.errors import ObjectMissing, StoreRefused
from impasto.shared.jobs import BatchSpec, PairJob
from impasto.shared.ledger import BatchStatus, Failure, PairState
from impasto.shared.metadata import LossRecord, OutputMetadata
from impasto.shared.store.keys import checked_key

_READERS: Final = 16
_CURVE_POINTS: Final = 24
"""Enough for a curve that is a few centimetres wide; two thousand whole ones would be megabytes."""


@dataclass(frozen=True)
class Done:
    """What the metadata of a result tells. Sizes in pixels, `curve` as (evaluation, total loss)."""

    picture_key: str
    picture_sha256: str
    picture_bytes: int
    width_px: int
    height_px: int
    steps: int
    seconds: float
    content_loss: float
    style_loss: float
    total_loss: float
    curve: tuple[tuple[int, float], ...]
    attempts: int
    device: str
    precision: str
    weights: str
    notes: tuple[str, ...]
    finished_at: str


@dataclass(frozen=True)
class Pair:
    """A pair by its number; `content` and `style` are places in the batch's lists.

    `result` is None unless it is done. `problem` says why a done pair has none. `failure`: of failed pairs.
    """

    pair: int
    content: int
    style: int
    content_name: str
    style_name: str
    state: PairState
    result: Done | None = None
    failure: Failure | None = None
    problem: str | None = None


def read_pairs(
    connection: Connection, status: BatchStatus, done: Collection[int], place: Place
) -> Iterator[Pair]:
    """All pairs of the batch, in order; `done` are those whose results are to be read at `place`.

    Raises ObjectMissing when the batch's files are gone, and the store's errors.
    """
    ledger, files = connection.ledger, connection.batches
    spec = files.spec(status.batch)
    failures = {failure.pair: failure for failure in ledger.failures(status.batch)}
    running = {pair.pair for pair in ledger.running(status.batch)}
    rest = PairState.CANCELLED if status.state.is_final else PairState.WAITING

    def read(job: PairJob) -> Pair:
        if job.pair in done:
            return _done(spec, job, place)
        if job.pair in failures:
            return _pair(spec, job, PairState.FAILED, failure=failures[job.pair])
        return _pair(spec, job, PairState.RUNNING if job.pair in running else rest)

    for _, pair in each(read, files.jobs(status.batch), threads=_READERS):
        yield pair


def _done(spec: BatchSpec, job: PairJob, place: Place) -> Pair:
    key = layout.metadata_key(spec.batch, job.output_stem)
    try:
        metadata = OutputMetadata.model_validate_json(place.get(key))
    except (ObjectMissing, StoreRefused):
        return _pair(spec, job, PairState.DONE, problem=f"{key} is missing or damaged")
    except ValidationError as error:
        problem = f"{key} is no metadata of an output: {error.errors()[0]['msg']}"
        return _pair(spec, job, PairState.DONE, problem=problem)
    if not _is_output(metadata.picture_key, spec.batch):
        return _pair(spec, job, PairState.DONE, problem=f"{key} names a picture that is not of this batch")
    return _pair(spec, job, PairState.DONE, result=_told(metadata))


def _is_output(key: str, batch: str) -> bool:
    """Whether it can be linked and read: a damaged one might lead anywhere."""
    with contextlib.suppress(StoreRefused):
        return checked_key(key).startswith(layout.outputs_prefix(batch))
    return False


def _pair(
    spec: BatchSpec,
    job: PairJob,
    state: PairState,
    *,
    result: Done | None = None,
    failure: Failure | None = None,
    problem: str | None = None,
) -> Pair:
    content, style = spec.indices(job.pair)
    names = (job.content.name, job.style.name)
    return Pair(job.pair, content, style, *names, state, result=result, failure=failure, problem=problem)


def _told(metadata: OutputMetadata) -> Done:
    last = metadata.losses.last
    return Done(
        picture_key=metadata.picture_key,
        picture_sha256=metadata.picture_sha256,
        picture_bytes=metadata.picture_bytes,
        width_px=metadata.width_px,
        height_px=metadata.height_px,
        steps=metadata.steps,
        seconds=round((metadata.finished_at - metadata.started_at).total_seconds(), 3),
        content_loss=last.content,
        style_loss=last.style,
        total_loss=last.total,
        curve=_thinned((metadata.losses.first, *metadata.losses.curve, last)),
        attempts=metadata.attempts,
        device=metadata.device,
        precision=metadata.precision,
        weights=f"{metadata.network}, {metadata.weights}",
        notes=metadata.notes,
        finished_at=metadata.finished_at.isoformat(timespec="seconds"),
    )


def _thinned(records: tuple[LossRecord, ...]) -> tuple[tuple[int, float], ...]:
    """At most so many points, the first and the last among them, each evaluation once."""
    curve = {record.step: record.total for record in records if math.isfinite(record.total)}
    points = sorted(curve.items())
    if len(points) <= _CURVE_POINTS:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(place * last / (_CURVE_POINTS - 1))] for place in range(_CURVE_POINTS))
