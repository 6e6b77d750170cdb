"""A batch's results one by one, as they finish: each once, whatever came before and whatever breaks off."""

from __future__ import annotations

import builtins
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from PIL import Image
from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.waiting import Deadline, Tick
from impasto.shared import layout
from impasto.shared.errors import ObjectMissing, StoreRefused, Transient
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import BatchStatus, Event, EventType, Failure
from impasto.shared.metadata import OutputMetadata
from impasto.shared.store import ObjectStore

BLOCK_SECONDS: Final = 1.0
"""One wait for news: whoever stops listening is let go within it."""

_LONGEST_BACKOFF_SECONDS: Final = 10.0
_READS: Final = 3
_UNTOLD, _FAILED, _DONE = 0, 1, 2


@dataclass(frozen=True)
class Result:
    """What became of one pair: a picture, or an `error`. Reads the store only when asked, and then once.

    `content` and `style` are the inputs' names.
    """

    batch: str
    pair: int
    content: str
    style: str
    error: Failure | None
    metadata_key: str
    store: ObjectStore = field(repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether there is a picture."""
        return self.error is None

    @cached_property
    def metadata(self) -> OutputMetadata:
        """Settings, losses, timings, digests. Raises ObjectMissing for a pair that failed, and the store's
        errors.
        """
        self._prove_done()
        data = self.store.get(self.metadata_key)
        try:
            return OutputMetadata.model_validate_json(data)
        except ValidationError as error:
            raise StoreRefused(
                f"{self.metadata_key} is no metadata of an output: {error.errors()[0]['msg']}"
            ) from error

    @property
    def picture_key(self) -> str:
        """The picture's key in the store. Raises as `metadata`."""
        return self.metadata.picture_key

    def bytes(self) -> builtins.bytes:
        """The picture's file, compared with the digest in its metadata. Raises as `metadata`."""
        for _ in range(_READS):
            data = self.store.get(self.picture_key)
            if hashlib.sha256(data).hexdigest() == self.metadata.picture_sha256:
                return data
            # A pair that ran twice may have had its picture replaced between our two reads.
            self.__dict__.pop("metadata", None)
        raise StoreRefused(f"{self.picture_key} is damaged: it is not the picture that its metadata tells of")

    def image(self) -> Image.Image:
        """The picture, decoded. Raises as `metadata`."""
        image = Image.open(io.BytesIO(self.bytes()))
        image.load()
        return image

    def _prove_done(self) -> None:
        if self.error is not None:
            raise ObjectMissing(
                f"pair {self.pair} of batch {self.batch} has no picture, it failed: {self.error.message}"
            )


def results(connection: Connection, batch: str, deadline: Deadline) -> Iterator[Result | Tick]:
    """Each pair that is done or has failed, once; a tick now and then while there is none.

    A failed pair that is retried is told again with its new outcome. Ends when the batch is over; cancelled
    pairs have no result. A ledger or store that stops answering is waited for. Raises NoSuchBatch, TimedOut,
    and LedgerUnavailable when the first question is not answered.
    """
    ledger = connection.ledger
    told = _Told(ledger.status(batch).total)
    ended: dict[int, Failure | None] = {}
    after = "0"
    block_seconds = backoff_seconds = 0.0

    def tell(pair: int, failure: Failure | None) -> Iterator[Result]:
        if told.is_news(pair, failure):
            result = _result(connection, batch, pair, failure)
            told.add(pair, failure)
            yield result

    while True:
        try:
            first = after == "0"
            events = ledger.events(batch, after=after, block_seconds=block_seconds)
            after = events[-1].id if events else after
            told.note(events, ended)
            status = ledger.status(batch)
            while ended:
                pair = next(iter(ended))
                yield from tell(pair, ended[pair])
                ended.pop(pair, None)
            # Events are not kept for ever, and what they don't tell the ledger's books do.
            if told.lacks(status) and (first or not events or status.is_over):
                for pair, failure in _settled(connection, batch):
                    yield from tell(pair, failure)
        except Transient:
            backoff_seconds = min(_LONGEST_BACKOFF_SECONDS, max(0.25, 2 * backoff_seconds))
            yield from deadline.sleep(backoff_seconds)
            continue
        backoff_seconds = 0.0
        if status.is_over:
            return
        block_seconds = min(BLOCK_SECONDS, deadline.left(status))
        yield Tick.TICK


class _Told:
    """What has been told of each pair, a byte a pair."""

    def __init__(self, total: int) -> None:
        self._pairs = bytearray(total)
        self._counts = [total, 0, 0]

    def note(self, events: Iterable[Event], ended: dict[int, Failure | None]) -> None:
        """Add how pairs ended by these events, in order; None is done. A retried pair is to be told again."""
        for event in events:
            if event.pair is None:
                continue
            if event.type is EventType.PAIR_DONE:
                ended.pop(event.pair, None)
                ended[event.pair] = None
            elif event.type is EventType.PAIR_FAILED:
                ended.pop(event.pair, None)
                ended[event.pair] = _failure_of(event)
            elif event.type is EventType.PAIR_RETRIED:
                ended.pop(event.pair, None)
                self._set(event.pair, _UNTOLD)

    def lacks(self, status: BatchStatus) -> bool:
        """Whether more is done or failed than was told."""
        return self._counts[_DONE] < status.done or self._counts[_FAILED] < status.failed

    def is_news(self, pair: int, failure: Failure | None) -> bool:
        """A pair that is done stays done."""
        return self._pairs[pair] < (_DONE if failure is None else _FAILED)

    def add(self, pair: int, failure: Failure | None) -> None:
        self._set(pair, _DONE if failure is None else _FAILED)

    def _set(self, pair: int, state: int) -> None:
        self._counts[self._pairs[pair]] -= 1
        self._pairs[pair] = state
        self._counts[state] += 1


def _settled(connection: Connection, batch: str) -> Iterator[tuple[int, Failure | None]]:
    for pair in connection.ledger.done_pairs(batch):
        yield pair, None
    for failure in connection.ledger.failures(batch):
        yield failure.pair, failure


def _failure_of(event: Event) -> Failure:
    told = event.data
    return Failure(
        pair=event.pair if event.pair is not None else -1,
        kind=str(told.get("kind", "error")),
        message=str(told.get("message", "")),
        attempts=int(told.get("attempts", 0)),
        content=str(told.get("content", "")),
        style=str(told.get("style", "")),
        failed_ms=event.at_ms,
    )


def _result(connection: Connection, batch: str, pair: int, failure: Failure | None) -> Result:
    job = connection.batches.job(batch, pair)
    return Result(
        batch,
        pair,
        job.content.name,
        job.style.name,
        None if failure is None else _named(failure, job),
        layout.metadata_key(batch, job.output_stem),
        connection.store,
    )


def _named(failure: Failure, job: PairJob) -> Failure:
    """A pair that killed its workers left nobody who could tell its inputs' names."""
    return replace(
        failure, content=failure.content or job.content.name, style=failure.style or job.style.name
    )
