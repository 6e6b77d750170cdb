"""Earlier nights: which are not over, what they are making, and what became of those that are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.nights.plan import UnderWay, identity, look_of
from impasto.producer.nights.summary import Night, NightSummary
from impasto.producer.opening import open_batch
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import NoSuchBatch, ObjectMissing, Permanent
from impasto.shared.ledger import BatchState
from impasto.shared.store import ObjectStore

log: Any = structlog.get_logger()

_CACHED_LOOKS = 4096


def open_nights(store: ObjectStore, name: str | None = None) -> list[Night]:
    """Nights whose end was not told yet, of one schedule or of all, the oldest first."""
    prefix = layout.OPEN_NIGHTS if name is None else layout.open_nights_prefix(name)
    nights: list[Night] = []
    for info in list(store.list(prefix)):
        try:
            nights.append(Night.model_validate_json(store.get(info.key)))
        except ObjectMissing:
            continue
        except ValidationError as error:
            log.warning("night.unreadable", key=info.key, error=error.errors()[0]["msg"])
    return sorted(nights, key=lambda night: night.fired_at)


def is_told(store: ObjectStore, name: str, fired_at: datetime) -> NightSummary | None:
    """What was told of the end of that fire."""
    try:
        return NightSummary.model_validate_json(store.get(layout.night_key(name, fired_at)))
    except (ObjectMissing, ValidationError):
        return None


def resume(connection: Connection, night: Night) -> bool:
    """Open the night's batch if whoever planned it came no further; whether the ledger has it now.

    False when it was purged, or its files are gone.
    """
    if night.batch is None:
        return False
    try:
        connection.ledger.status(night.batch)
    except NoSuchBatch:
        store = connection.store
        gone = (layout.purged_key(night.batch), layout.report_key(night.batch, "csv"))
        if any(store.head(key) is not None for key in gone):
            return False
        try:
            spec = connection.batches.spec(night.batch)
        except ObjectMissing:
            return False
        open_batch(connection, spec)
    return True


def under_way(connection: Connection, nights: Iterable[Night]) -> UnderWay:
    """The pairs of these nights' batches, but those that failed or were cancelled."""
    making: dict[bytes, set[str]] = {}
    for night in nights:
        if night.batch is None or not resume(connection, night):
            continue
        try:
            if connection.ledger.status(night.batch).state is BatchState.CANCELLED:
                continue
            failed = {failure.pair for failure in connection.ledger.failures(night.batch)}
            for pair, content, look in pairs_of(connection.batches, night.batch):
                if pair not in failed:
                    making.setdefault(content, set()).add(look)
        except (NoSuchBatch, Permanent):
            continue
    alike: dict[frozenset[str], frozenset[str]] = {}
    return {key: alike.setdefault(frozenset(looks), frozenset(looks)) for key, looks in making.items()}


def pairs_of(files: BatchFiles, batch: str) -> Iterator[tuple[int, bytes, str]]:
    """Number, content's identity and look of each of the batch's pairs. Raises as `BatchFiles.spec`."""
    spec = files.spec(batch)

    @lru_cache(_CACHED_LOOKS)
    def look(place: int) -> str:
        return look_of(files.style(batch, place), spec.settings)

    for pair in range(spec.total):
        content_place, style_place = spec.indices(pair)
        yield pair, identity(files.content(batch, content_place)), look(style_place)
