"""Old batches leave: from the ledger, and only when asked also from the store."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from impasto.producer.collect import OnProgress, Progress
from impasto.producer.connection import Connection
from impasto.producer.parallel import each
from impasto.producer.readers import read_by_others
from impasto.shared import layout
from impasto.shared.errors import BadSettings, NoSuchBatch, ObjectMissing
from impasto.shared.ledger import BatchStatus
from impasto.shared.metadata import OutputMetadata, ResultPointer
from impasto.shared.store import ObjectInfo, ObjectStore

_REMOVERS: Final = 16


@dataclass(frozen=True)
class Purged:
    """A batch that is gone (or would be); `objects` and `bytes` of it that were in the store and are not."""

    batch: str
    name: str
    objects: int
    bytes: int


def older_than(connection: Connection, seconds: float) -> list[str]:
    """Batches that have been over for so long, oldest first."""
    until_ms = (time.time() - seconds) * 1000
    statuses = (connection.ledger.status(batch) for batch in reversed(connection.ledger.batches()))
    return [one.batch for one in statuses if one.finished_ms is not None and one.finished_ms <= until_ms]


def purge(
    connection: Connection,
    batches: Sequence[str],
    *,
    outputs: bool = False,
    dry_run: bool = False,
    on_progress: OnProgress | None = None,
) -> list[Purged]:
    """Have the ledger forget these batches; with `outputs`, remove from the store all but their inputs.

    `batches` are whole ids. Inputs stay, since other batches may read them, and so does every result that
    another batch made. Interrupted, it may be repeated. Raises BadSettings that names the batches which are
    not over, or with `outputs` one whose results are inputs of a batch that is not over (then nothing is
    purged), NoSuchBatch, and the store's errors.
    """
    statuses = {batch: _status(connection, batch, outputs=outputs) for batch in dict.fromkeys(batches)}
    not_over = [batch for batch, status in statuses.items() if status is not None and not status.is_over]
    if not_over:
        raise BadSettings(f"not over yet: {', '.join(not_over)}; cancel first, or leave them out")
    if outputs and (read := read_by_others(connection, statuses)) is not None:
        raise BadSettings(
            f"results of batch {read[0]} are inputs of batch {read[1]}, which is not over: "
            f"wait for it, cancel it, or leave {read[0]} out"
        )
    purged: list[Purged] = []
    for batch, status in statuses.items():
        found = _objects_of(connection.store, batch) if outputs else []
        if not dry_run:
            # The ledger forgets last: until then the same command finds the batch again.
            if outputs:
                _refuse_if_retried(connection, batch)
                _remove(connection.store, batch, found, on_progress)
            else:
                _mark(connection.store, batch)
            if not connection.ledger.forget(batch):
                connection.store.delete(layout.purged_key(batch))
                raise _retried(batch)
        name = batch if status is None else status.name
        purged.append(Purged(batch, name, len(found), sum(info.size_bytes for info in found)))
    return purged


def _refuse_if_retried(connection: Connection, batch: str) -> None:
    """The listing of many objects, or of batches before this one, took its time."""
    with suppress(NoSuchBatch):
        if not connection.ledger.status(batch).is_over:
            raise _retried(batch)


def _retried(batch: str) -> BadSettings:
    return BadSettings(f"batch {batch} was retried meanwhile: cancel it first")


def _status(connection: Connection, batch: str, *, outputs: bool) -> BatchStatus | None:
    """None for a batch that only the store knows: the retention had the ledger forget it."""
    try:
        return connection.ledger.status(batch)
    except NoSuchBatch:
        if outputs and connection.store.head(layout.spec_key(batch)) is not None:
            return None
        raise


def _objects_of(store: ObjectStore, batch: str) -> list[ObjectInfo]:
    """In the order in which they may go: what tells of others after those."""
    prefix = layout.outputs_prefix(batch)

    def turn(info: ObjectInfo) -> int:
        if info.key.startswith(prefix):
            return 1 if info.key.endswith(".json") else 0
        return 3 if info.key == layout.spec_key(batch) else 2

    return sorted([*store.list(prefix), *store.list(layout.batch_prefix(batch))], key=turn)


def _remove(
    store: ObjectStore, batch: str, objects: Sequence[ObjectInfo], on_progress: OnProgress | None
) -> None:
    prefix = layout.outputs_prefix(batch)
    metadata = [info for info in objects if info.key.startswith(prefix) and info.key.endswith(".json")]
    pictures = [info for info in objects if info.key.startswith(prefix) and not info.key.endswith(".json")]
    rest = objects[len(metadata) + len(pictures) :]
    removed, bytes_removed, bytes_total = 0, 0, sum(info.size_bytes for info in objects)
    for _ in each(lambda info: _remove_pointer(store, info.key, prefix), metadata, threads=_REMOVERS):
        pass
    for group in (pictures, metadata, rest[:-1], rest[-1:]):
        for info, _ in each(lambda info: store.delete(info.key), group, threads=_REMOVERS):
            removed, bytes_removed = removed + 1, bytes_removed + info.size_bytes
            if on_progress is not None:
                on_progress(Progress("objects", removed, len(objects), bytes_removed, bytes_total))


def _remove_pointer(store: ObjectStore, metadata_key: str, prefix: str) -> None:
    """What points into the outputs that go; the same result made by another batch stays known, and so does
    the one that a copy was made of.
    """
    try:
        made = OutputMetadata.model_validate_json(store.get(metadata_key))
        key = layout.result_key(made.fingerprint)
        pointer = ResultPointer.model_validate_json(store.get(key))
    except (ObjectMissing, ValidationError):
        return
    if not pointer.picture_key.startswith(prefix):
        return
    original = _original_of(store, made)
    if original is None or original.picture_key.startswith(prefix):
        store.delete(key)
    else:
        store.put(key, original.model_dump_json(indent=2).encode(), content_type="application/json")


def _original_of(store: ObjectStore, copied: OutputMetadata) -> ResultPointer | None:
    """Where the result lies that this one is a copy of, if it does still."""
    if copied.reused_from is None:
        return None
    try:
        made = OutputMetadata.model_validate_json(store.get(copied.reused_from))
    except (ObjectMissing, ValidationError):
        return None
    if made.fingerprint != copied.fingerprint:
        return None
    return ResultPointer(picture_key=made.picture_key, metadata_key=copied.reused_from)


def _mark(store: ObjectStore, batch: str) -> None:
    body = json.dumps({"purged_at": datetime.now(UTC).isoformat(timespec="seconds")}).encode()
    store.put(layout.purged_key(batch), body, content_type="application/json")
