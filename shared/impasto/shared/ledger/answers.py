"""What the scripts and the stored records say, as the interface's types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from impasto.shared.ledger.interface import BatchState, BatchStatus, Event, EventType, Failure, Settled
from impasto.shared.ledger.policy import no_such_batch


def settled(answer: list[int]) -> Settled:
    return Settled(counted=bool(answer[0]), batch_finished=bool(answer[1]))


def status(batch: str, answer: list[Any] | None) -> BatchStatus:
    if answer is None:
        raise no_such_batch(batch)
    name, state = answer[:2]
    priority, total, done, failed, cancelled, created_ms = map(int, answer[2:8])
    finished_ms = answer[8]
    busy_ms, timed, due, running, workers = map(int, answer[9:])
    over = done + failed + cancelled
    return BatchStatus(
        batch=batch,
        name=name,
        state=BatchState(state),
        priority=priority,
        total=total,
        waiting=total - over - due - running,
        due=due,
        running=running,
        done=done,
        failed=failed,
        cancelled=cancelled,
        created_ms=created_ms,
        finished_ms=int(finished_ms) if finished_ms else None,
        busy_seconds=busy_ms / 1000,
        workers=workers,
        eta_seconds=BatchStatus.eta(
            pairs=total - over, busy_seconds=busy_ms / 1000, timed=timed, workers=workers
        ),
    )


def failure(pair: int, kept: Mapping[str, Any]) -> Failure:
    told = kept["failure"]
    return Failure(
        pair=pair,
        kind=told["kind"],
        message=told["message"],
        attempts=told.get("attempts", kept["attempts"]),
        content=told.get("content", ""),
        style=told.get("style", ""),
        failed_ms=kept["failed_ms"],
    )


def event(batch: str, id: str, fields: Mapping[str, str]) -> Event:
    return Event(
        id=id,
        type=EventType(fields["type"]),
        batch=batch,
        at_ms=int(fields["at_ms"]),
        pair=int(fields["pair"]) if fields["pair"] else None,
        data=json.loads(fields["data"]),
    )
