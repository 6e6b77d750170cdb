"""Deliveries of one webhook: what waits, was taken, was given up. `lua/_keys.lua` has the keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final, cast

import redis

from impasto.producer.webhooks.outbox import OutboxEntry, server_ms
from impasto.producer.webhooks.post import Answer
from impasto.producer.webhooks.scripts import Scripts
from impasto.shared.ledger.keys import WEBHOOK_KEYS, Keys
from impasto.shared.ledger.redis_errors import translated

LEASE_SECONDS: Final = 120.0
"""After which a claim of a courier that died is over: well above a POST's deadline and a slow look-up."""
MOST_WAITING: Final = 10_000
"""Pairs' deliveries that one webhook may have waiting; the ends of batches always find room."""
_KEPT_DELIVERED: Final = 100
_KEPT_DEAD: Final = 1_000
_REVIVED_AT_ONCE: Final = 1_000


class DeliveryState(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


_LISTS: Final = {
    DeliveryState.WAITING: "due",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.DEAD: "dead",
}


@dataclass(frozen=True)
class Message:
    """What is delivered; `body` is what is signed and sent, to the letter, each time."""

    type: str
    batch: str
    pair: int | None
    created_ms: int
    body: str


@dataclass(frozen=True)
class Claim:
    """A delivery in this courier's hands. `id` is its `webhook-id`; `attempt` counts from 1."""

    id: str
    attempt: int
    message: Message


@dataclass(frozen=True)
class Outcome:
    """What came of a POST: a status, or an error that says why there is none."""

    at_ms: int
    status: int | None
    error: str
    excerpt: str
    seconds: float

    @property
    def told(self) -> str:
        """For people, on one line."""
        said = "no answer" if self.status is None else f"HTTP {self.status}"
        return f"{said}: {self.error or self.excerpt}".removesuffix(": ")


@dataclass(frozen=True)
class Delivery:
    """One message to one webhook. `at_ms`: next try, or when it was taken or given up."""

    id: str
    webhook: str
    state: DeliveryState
    message: Message
    attempts: int
    at_ms: int
    last: Outcome | None


@dataclass(frozen=True)
class Health:
    """How a webhook fares. `failing`: POSTs in a row that were not taken; `dropped`: pairs without room."""

    waiting: int
    failing: int
    taken: int
    dead: int
    dropped: int
    last: Outcome | None


class Deliveries:
    """The deliveries of one webhook. Safe to share between threads; all may raise LedgerUnavailable.

    `clock`: the time in milliseconds, for tests that move it; None: the server's.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        scripts: Scripts,
        webhook: str,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.webhook = webhook
        self._client = client
        self._shared = [keys.shared("outbox"), keys.shared("webhooks")]
        self._keys = keys.of_webhook(webhook)
        self._key = dict(zip(WEBHOOK_KEYS, self._keys, strict=True))
        self._scripts = scripts
        self._clock = clock

    def enqueue(
        self, step: redis.client.Pipeline, entry: OutboxEntry, id: str, message: Message, *, last: bool
    ) -> None:
        """A part of the transaction whose `last` takes the entry from the outbox."""
        self._scripts.add(
            step,
            "enqueue",
            [*self._shared, *self._keys],
            self._now(),
            self.webhook,
            entry.id,
            id,
            json.dumps(asdict(message)),
            0 if entry.pair is None else MOST_WAITING,
            int(last),
        )

    def waiting(self) -> int:
        """How many are neither taken nor given up, due or not."""
        with translated(self._client):
            return int(self._client.zcard(self._key["due"]))

    def claim(self) -> Claim | None:
        """The delivery that is due first, for LEASE_SECONDS; None: nothing is due."""
        answer = self._scripts.run("claim", self._keys, self._now(), _ms(LEASE_SECONDS))
        if answer is None:
            return None
        id, attempt, message = answer
        return Claim(id, int(attempt), Message(**json.loads(message)))

    def taken(self, claim: Claim, answer: Answer) -> None:
        self._settle(claim, "taken", answer, 0.0)

    def again(self, claim: Claim, answer: Answer, delay_seconds: float) -> None:
        self._settle(claim, "again", answer, delay_seconds)

    def given_up(self, claim: Claim, answer: Answer) -> None:
        self._settle(claim, "dead", answer, 0.0)

    def _settle(self, claim: Claim, outcome: str, answer: Answer, delay_seconds: float) -> None:
        quiet = 0.0 if answer.taken else answer.retry_after_seconds or 0.0
        note = {
            "at_ms": self._now() or server_ms(self._client),
            "status": answer.status,
            "error": answer.error,
            "excerpt": answer.excerpt,
            "seconds": round(answer.seconds, 3),
        }
        self._scripts.run(
            "settle",
            self._keys,
            self._now(),
            claim.id,
            claim.attempt,
            outcome,
            _ms(delay_seconds),
            json.dumps(note),
            _ms(quiet),
            _KEPT_DELIVERED if outcome == "taken" else _KEPT_DEAD,
        )

    def revive(self, ids: Sequence[str] | None = None) -> int:
        """Let these go out now, or all that wait; how many there were."""
        if ids is None:
            with translated(self._client):
                ids = cast("list[str]", self._client.zrange(self._key["due"], 0, -1))
        return sum(
            int(self._scripts.run("revive", self._keys, self._now(), *ids[first : first + _REVIVED_AT_ONCE]))
            for first in range(0, len(ids), _REVIVED_AT_ONCE)
        )

    def in_state(self, state: DeliveryState, limit: int | None = None) -> list[Delivery]:
        """Those that wait by when they are due, the others from the latest."""
        last = -1 if limit is None else limit - 1
        with translated(self._client):
            ids = cast(
                "list[tuple[str, float]]",
                self._client.zrange(
                    self._key[_LISTS[state]],
                    0,
                    last,
                    desc=state is not DeliveryState.WAITING,
                    withscores=True,
                ),
            )
            return self._read(state, ids)

    def find(self, id: str) -> Delivery | None:
        with self._client.pipeline(transaction=True) as reads, translated(self._client):
            for name in _LISTS.values():
                reads.zscore(self._key[name], id)
            scores = reads.execute()
            for state, score in zip(_LISTS, scores, strict=True):
                if score is not None:
                    return next(iter(self._read(state, [(id, score)])), None)
        return None

    def health(self) -> Health:
        with self._client.pipeline(transaction=True) as reads, translated(self._client):
            reads.zcard(self._key["due"])
            reads.hgetall(self._key["health"])
            waiting, kept = reads.execute()
        last = kept.get("last")
        return Health(
            waiting=waiting,
            failing=int(kept.get("failing", 0)),
            taken=int(kept.get("taken", 0)),
            dead=int(kept.get("dead", 0)),
            dropped=int(kept.get("dropped", 0)),
            last=Outcome(**json.loads(last)) if last else None,
        )

    def _read(self, state: DeliveryState, ids: Sequence[tuple[str, float]]) -> list[Delivery]:
        if not ids:
            return []
        names = [id for id, _ in ids]
        with self._client.pipeline(transaction=True) as reads:
            for name in ("messages", "attempts", "outcomes"):
                reads.hmget(self._key[name], names)
            columns = reads.execute()
        return [
            Delivery(
                id=id,
                webhook=self.webhook,
                state=state,
                message=Message(**json.loads(message)),
                attempts=int(attempts or 0),
                at_ms=int(at_ms),
                last=Outcome(**json.loads(outcome)) if outcome else None,
            )
            for (id, at_ms), message, attempts, outcome in zip(ids, *columns, strict=True)
            if message is not None
        ]

    def _now(self) -> int:
        return 0 if self._clock is None else self._clock()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
