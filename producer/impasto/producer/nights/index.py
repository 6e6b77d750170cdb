"""What a schedule's nights know of its inputs and results, kept in the store: a shortcut, never the truth.

An input that looks as it did is not opened again; a pair whose result was there is not submitted again. Where
the index is lost or damaged inputs are read anew, and workers find by its fingerprint what was made before.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any, Final, Literal, Self

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import LockError

from impasto.producer.checked import Kept
from impasto.producer.connection import Connection
from impasto.producer.parallel import each
from impasto.producer.sources import Rejected
from impasto.shared import layout
from impasto.shared.errors import ObjectMissing, StoreUnavailable
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated
from impasto.shared.store import ObjectStore

log: Any = structlog.get_logger()

LINES_A_CHUNK: Final = 10_000
KEPT_DAYS: Final = 30
"""How long an input that is not there is remembered: a disk may be away for a night."""

_READERS: Final = 4
_READS: Final = 5
_LOCK_SECONDS: Final = 600.0

Files = tuple[tuple[str, int, str], ...]
"""What a unit is made of, as a listing shows it: address, size in bytes, and a stamp that changes with it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a unit when it was read: where its pictures lie, or why it is none."""

    kept: tuple[Kept, ...]
    rejected: Rejected | None = None


class _Header(BaseModel):
    """`judged_by` is what decides which bytes are a picture; `looks` are numbered by their place."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    edition: str
    judged_by: str
    looks: tuple[str, ...]
    inputs_chunks: int
    results_chunks: int


class Observed:
    """What a night saw of the inputs: all units that are there, and what is new of them."""

    def __init__(self) -> None:
        self.present: set[bytes] = set()
        self.news: dict[bytes, bytes] = {}

    def add(self, unit: bytes, files: Files, known: Known) -> None:
        """The unit was read now."""
        fields: dict[str, Any] = {"unit": unit.hex(), "files": files}
        if known.rejected is not None:
            fields["rejected"] = [known.rejected.input, known.rejected.error]
        else:
            fields["kept"] = [(kept.uri, kept.sha256, kept.size_bytes, kept.size_px) for kept in known.kept]
        self.news[unit] = _line(fields)


class Index:
    """All of it in memory: about 600 bytes an input, and 4 a result."""

    def __init__(self, judged_by: str = "") -> None:
        self._judged_by = judged_by
        self._edition: str | None = None
        self._inputs: dict[bytes, bytes] = {}
        self._absent: dict[bytes, date] = {}
        self._looks: dict[str, int] = {}
        self._results: dict[bytes, bytes] = {}
        self._changed = False

    @classmethod
    def load(cls, store: ObjectStore, name: str, *, judged_by: str) -> Self:
        """The schedule's index, empty when there is none.

        `judged_by`: with another, rejected inputs get another chance. Raises the store's errors.
        """
        edition = None
        for _ in range(_READS):
            try:
                header = _Header.model_validate_json(store.get(layout.index_key(name)))
            except (ObjectMissing, ValidationError):
                return cls(judged_by)
            try:
                return cls._read(store, name, header, judged_by)
            except ObjectMissing as error:
                if header.edition == edition:
                    # It is not that another took its place meanwhile: its chunks are gone.
                    log.warning("night.index_damaged", schedule=name, error=str(error))
                    return cls(judged_by)
                edition = header.edition
            except (ValueError, TypeError, KeyError) as error:
                log.warning("night.index_damaged", schedule=name, error=repr(error))
                return cls(judged_by)
        raise StoreUnavailable(f"{layout.index_key(name)} in {store.url} changes faster than it can be read")

    @classmethod
    def _read(cls, store: ObjectStore, name: str, header: _Header, judged_by: str) -> Self:
        index = cls(judged_by)
        index._edition = header.edition
        index._looks = {look: number for number, look in enumerate(header.looks)}

        def lines(part: Literal["inputs", "results"], chunks: int) -> Iterator[bytes]:
            keys = (layout.index_chunk_key(name, header.edition, part, chunk) for chunk in range(chunks))
            for _, data in each(store.get, keys, threads=_READERS):
                yield from data.splitlines()

        for line in lines("inputs", header.inputs_chunks):
            fields = json.loads(line)
            if "rejected" in fields and header.judged_by != judged_by:
                index._changed = True
                continue
            unit = bytes.fromhex(fields["unit"])
            index._inputs[unit] = line
            if "absent_since" in fields:
                index._absent[unit] = date.fromisoformat(fields["absent_since"])
        for line in lines("results", header.results_chunks):
            fields = json.loads(line)
            index._results[bytes.fromhex(fields["content"])] = array("I", fields["looks"]).tobytes()
        return index

    def knows(self, unit: bytes, files: Files) -> bool:
        """Whether the unit was read when it was made of the same files."""
        line = self._inputs.get(unit)
        return line is not None and json.loads(line)["files"] == [list(file) for file in files]

    def recall(self, unit: bytes) -> Known:
        """What came of the unit when it was read. Raises KeyError."""
        fields = json.loads(self._inputs[unit])
        if "rejected" in fields:
            return Known((), Rejected(*fields["rejected"]))
        return Known(
            tuple(
                Kept("", uri, sha256, size_bytes, (width, height))
                for uri, sha256, size_bytes, (width, height) in fields["kept"]
            )
        )

    def has_result(self, content: bytes, looks: Iterable[str]) -> list[bool]:
        """Which of these looks that content has a result in; `look_of` and `identity_of` give both."""
        done = self._results.get(content)
        numbers = frozenset(array("I", done)) if done else frozenset()
        return [self._looks.get(look, -1) in numbers for look in looks]

    def add_result(self, content: bytes, look: str) -> None:
        """The pair's result is in the store."""
        number = self._looks.setdefault(look, len(self._looks))
        done = array("I", self._results.get(content, b""))
        if number not in done:
            done.append(number)
            self._results[content] = done.tobytes()
            self._changed = True

    def is_news(self, observed: Observed, today: date) -> bool:
        """Whether what was seen changes the index."""
        return (
            self._changed
            or bool(observed.news)
            or any(unit in observed.present for unit in self._absent)
            or any(unit not in observed.present and unit not in self._absent for unit in self._inputs)
            or any(_is_forgotten(since, today) for since in self._absent.values())
        )

    def see(self, observed: Observed, today: date) -> None:
        """Take in what a night saw."""
        if not self.is_news(observed, today):
            return
        self._changed = True
        self._inputs.update(observed.news)
        for unit in list(self._inputs):
            since = self._absent.get(unit)
            if unit in observed.present:
                if since is not None:
                    del self._absent[unit]
                    self._rewrite(unit, absent_since=None)
            elif since is None:
                self._absent[unit] = today
                self._rewrite(unit, absent_since=today.isoformat())
            elif _is_forgotten(since, today):
                del self._inputs[unit], self._absent[unit]

    def _rewrite(self, unit: bytes, *, absent_since: str | None) -> None:
        fields = json.loads(self._inputs[unit])
        fields.pop("absent_since", None)
        self._inputs[unit] = _line(
            fields if absent_since is None else {**fields, "absent_since": absent_since}
        )

    def save(self, store: ObjectStore, name: str) -> None:
        """Put a new edition, then name it; nothing when nothing has changed. Raises the store's errors."""
        if not self._changed:
            return
        before, self._edition = self._edition, secrets.token_hex(8)
        results = (
            _line({"content": content.hex(), "looks": array("I", looks).tolist()})
            for content, looks in self._results.items()
        )
        header = _Header(
            edition=self._edition,
            judged_by=self._judged_by,
            looks=tuple(self._looks),
            inputs_chunks=_put_chunks(store, name, self._edition, "inputs", self._inputs.values()),
            results_chunks=_put_chunks(store, name, self._edition, "results", results),
        )
        body = header.model_dump_json(indent=2).encode()
        store.put(layout.index_key(name), body, content_type="application/json")
        self._changed = False
        # Whoever reads the one before may go on.
        kept = tuple(f"{layout.index_chunks_prefix(name)}{edition}/" for edition in (self._edition, before))
        for info in list(store.list(layout.index_chunks_prefix(name))):
            if not info.key.startswith(kept):
                store.delete(info.key)


@contextmanager
def changing(connection: Connection, name: str, *, judged_by: str) -> Iterator[Index]:
    """The index to be changed by this process alone; saved at the end, when nothing went wrong.

    Raises LedgerUnavailable and the store's errors.
    """
    client = connection.redis
    key = Keys(connection.deployment.namespace).shared(f"nights:{name}")
    lock = client.lock(key, timeout=_LOCK_SECONDS, blocking_timeout=_LOCK_SECONDS)
    with translated(client):
        # Who never gets it may go on: what is lost is only a shortcut.
        lock.acquire()
    try:
        index = Index.load(connection.store, name, judged_by=judged_by)
        yield index
        index.save(connection.store, name)
    finally:
        with translated(client), suppress(LockError):
            lock.release()


def unit_of(kind: str, name: str) -> bytes:
    """Under what a content, a style or a blend is remembered: by what it is called."""
    return hashlib.blake2b(f"{kind}\n{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def identity_of(sha256: str, mask_sha256: str | None) -> bytes:
    """Of a content by its bytes and its mask's, wherever they lie."""
    if mask_sha256 is None:
        return bytes.fromhex(sha256)
    return hashlib.sha256(f"{sha256} mask {mask_sha256}".encode()).digest()


def _is_forgotten(since: date, today: date) -> bool:
    return today - since > timedelta(days=KEPT_DAYS)


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _put_chunks(
    store: ObjectStore,
    name: str,
    edition: str,
    part: Literal["inputs", "results"],
    lines: Iterable[bytes],
) -> int:
    """How many chunks it took."""
    remaining = iter(lines)
    chunks = 0
    while chunk := list(islice(remaining, LINES_A_CHUNK)):
        key = layout.index_chunk_key(name, edition, part, chunks)
        store.put(key, b"\n".join(chunk) + b"\n", content_type="application/jsonl")
        chunks += 1
    return chunks
