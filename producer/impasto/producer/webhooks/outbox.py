"""The outbox: events that webhooks want and the courier has not taken yet.

The ledger's scripts put theirs there in the same step that makes them true, so no process can die between
the two. Others hand theirs in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import redis

from impasto.producer.connection import Connection
from impasto.producer.webhooks.payloads import ScheduleIsFinished, WebhookType
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated

_PAGE: Final = 100


@dataclass(frozen=True)
class OutboxEntry:
    """One event as it lies there. `pair` None: it is of a whole batch; `batch` empty: of none."""

    id: str
    type: str
    batch: str
    pair: int | None
    at_ms: int
    data: dict[str, Any]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)


def add_to_outbox(connection: Connection, data: ScheduleIsFinished) -> bool:
    """Hand in a schedule's end, for the webhooks that want `schedule.finished`; whether any does.

    Once it returned the event is in Redis and outlives every process. Hand it in when the summary is in the
    store, and again after a crash: the same schedule and `fired_at` are one message, with one `webhook-id`.
    Raises LedgerUnavailable.
    """
    keys = Keys(connection.deployment.namespace)
    client = connection.redis
    fields: dict[Any, Any] = {
        "batch": data.batch or "",
        "type": WebhookType.SCHEDULE_FINISHED.value,
        "pair": "",
        "at_ms": server_ms(client),
        "data": data.model_dump_json(),
    }
    with translated(client):
        wanted = client.hexists(keys.shared("wanted"), WebhookType.SCHEDULE_FINISHED.value)
        if wanted:
            client.xadd(keys.shared("outbox"), fields)
    return bool(wanted)


def server_ms(client: redis.Redis) -> int:
    """The time by which events are dated, in milliseconds. Raises LedgerUnavailable."""
    with translated(client):
        seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def waiting_entries(client: redis.Redis, keys: Keys) -> Iterator[OutboxEntry]:
    """All that lies in the outbox, oldest first, read page by page."""
    after = "-"
    while True:
        with translated(client):
            page = cast(
                "list[tuple[str, dict[str, str]]]",
                client.xrange(keys.shared("outbox"), min=after, max="+", count=_PAGE),
            )
        for id, fields in page:
            yield _entry(id, fields)
        if len(page) < _PAGE:
            return
        after = f"({page[-1][0]}"


def _entry(id: str, fields: dict[str, str]) -> OutboxEntry:
    """As it lies there; one that nobody can read has a type that does not exist, and is thrown out by it."""
    try:
        return OutboxEntry(
            id=id,
            type=fields["type"],
            batch=fields["batch"],
            pair=int(fields["pair"]) if fields["pair"] else None,
            at_ms=int(fields["at_ms"]),
            data=json.loads(fields["data"]),
        )
    except (KeyError, ValueError, RecursionError):
        return OutboxEntry(id, "unreadable", fields.get("batch", ""), None, 0, {})
