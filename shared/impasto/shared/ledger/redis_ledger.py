"""The ledger in Redis or Valkey: each transition one Lua script, atomic and safe to repeat."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from impasto.shared.errors import BadSettings, LedgerUnavailable
from impasto.shared.ledger import answers
from impasto.shared.ledger.interface import (
    BatchOpening,
    BatchStatus,
    Control,
    DeadLetter,
    Event,
    Failure,
    Lease,
    Opened,
    Refusal,
    RenewAnswer,
    RunningPair,
    Settled,
    SweepResult,
    WorkerInfo,
)
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.loader import script_names, script_text
from impasto.shared.ledger.policy import (
    BATCHES_A_SWEEP,
    DEAD_LETTER_CHARACTERS,
    DEAD_LETTERS,
    EMPTY_BROKER_SECONDS,
    ENDS_A_SWEEP,
    EVENTS_SECONDS,
    LONGEST_AHEAD_SECONDS,
    PAIRS_A_RETRY,
    PAIRS_A_SWEEP,
    REPORT_AGAIN_SECONDS,
    TOKEN_SECONDS,
    checked_priority,
    no_such_batch,
    poison,
)
from impasto.shared.ledger.redis_errors import translated

SOCKET_TIMEOUT_SECONDS: Final = 15.0
BLOCK_SECONDS: Final = 5.0  # one blocking read; must stay well below the socket's timeout
BITMAP_CHUNK_BYTES: Final = 65_536
_EVENT_ID = re.compile(r"\d{1,19}(-\d{1,19})?")


def connect(
    url: str, *, timeout_seconds: float = SOCKET_TIMEOUT_SECONDS, repeat_silent: bool = True
) -> redis.Redis:
    """A client for RedisLedger; opens no connection yet.

    A command whose answer was lost is sent again, three times at most; one that got no answer within
    `timeout_seconds`, which must be above `BLOCK_SECONDS`, only if `repeat_silent`. Raises BadSettings for a
    bad URL.
    """
    repeated = (redis.ConnectionError, redis.TimeoutError) if repeat_silent else (redis.ConnectionError,)
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=5,
            socket_keepalive=True,
            health_check_interval=25,
            # from_url alone repeats nothing, and a dropped connection would reach the caller each time.
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3, repeated),
        )
    except ValueError:
        # The parser's own words may quote a piece of the password.
        raise BadSettings(
            "IMPASTO_REDIS_URL is no address of a Redis: write redis://[:password@]host:port/db, "
            "with special characters of the password percent-encoded"
        ) from None
    return client


class RedisLedger:
    """Implements `Ledger`. Safe to share between threads, not across a fork.

    `client`: one that decodes responses, as `connect` makes. `namespace`: prefix of all keys. `clock`: the
    time in milliseconds, for tests that move it; None: the server's.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        namespace: str = "impasto",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._keys = Keys(namespace)
        self._clock = clock
        self._scripts = {name: client.register_script(script_text(name)) for name in script_names()}

    def ping(self) -> None:
        with translated(self._client):
            self._client.ping()

    def open(self, opening: BatchOpening) -> Opened:
        keys = [*self._keys.for_scripts(opening.batch), self._keys.shared("batches")]
        if opening.token is not None:
            keys.append(self._keys.token(opening.token))
        batch, created = self._run(
            "open",
            keys,
            self._now(),
            opening.batch,
            opening.total,
            opening.name,
            opening.priority,
            uuid.uuid4().hex,
            _ms(TOKEN_SECONDS),
            opening.token or "",
        )
        return Opened(batch, bool(created))

    def opened_by(self, token: str) -> str | None:
        with translated(self._client):
            return cast("str | None", self._client.get(self._keys.token(token)))

    def advance(self, batch: str, *, min_window: int) -> list[int]:
        return [int(pair) for pair in self._on("advance", batch, self._now(), min_window)]

    def unpublished(self, batch: str, pairs: Sequence[int]) -> None:
        if pairs:
            self._on("unpublished", batch, *pairs)

    def lease(
        self,
        batch: str,
        pair: int,
        *,
        worker: str,
        lease_id: str,
        ttl_seconds: float,
        computing: bool = True,
    ) -> Lease | Refusal:
        if pair < 0:
            return Refusal.UNKNOWN
        answer = self._on(
            "lease", batch, self._now(), pair, worker, lease_id, _ms(ttl_seconds), int(computing)
        )
        if answer[0] != "leased":
            return Refusal(answer[0])
        attempt, deaths, suspect, priority = map(int, answer[1:])
        return Lease(batch, pair, lease_id, attempt, deaths, bool(suspect), priority)

    def renew(
        self,
        batch: str,
        pair: int,
        *,
        lease_id: str,
        ttl_seconds: float,
        progress: dict[str, Any],
        computing: bool = True,
    ) -> RenewAnswer:
        told = json.dumps(progress)
        return RenewAnswer(
            self._on("renew", batch, self._now(), pair, lease_id, _ms(ttl_seconds), told, int(computing))
        )

    def finish(self, batch: str, pair: int, *, lease_id: str, busy_seconds: float) -> Settled:
        if pair < 0:
            return Settled(counted=False, batch_finished=False)
        return answers.settled(self._on("finish", batch, self._now(), pair, lease_id, _ms(busy_seconds)))

    def postpone(
        self, batch: str, pair: int, *, lease_id: str, delay_seconds: float, give_back: bool, reason: str
    ) -> bool:
        data = json.dumps({"reason": reason, "delay_seconds": delay_seconds, "give_back": give_back})
        return bool(
            self._on("postpone", batch, self._now(), pair, lease_id, _ms(delay_seconds), int(give_back), data)
        )

    def fail(self, batch: str, pair: int, *, lease_id: str, failure: Failure) -> Settled:
        reason = json.dumps(failure.told())
        return answers.settled(self._on("fail", batch, self._now(), pair, lease_id, reason))

    def sweep(
        self,
        *,
        every_seconds: float,
        republish_seconds: float,
        broker_is_empty: bool,
        max_deaths: int,
        min_window: int,
        lease_seconds: float = LONGEST_AHEAD_SECONDS,
        delay_seconds: float = LONGEST_AHEAD_SECONDS,
        retention_seconds: float | None = None,
    ) -> SweepResult:
        turn_keys = [self._keys.shared("sweep"), self._keys.shared("active")]
        turn = self._run("sweep_turn", turn_keys, self._now(), _ms(every_seconds), BATCHES_A_SWEEP)
        if turn is None:
            return SweepResult(ran=False)
        expiring, batches = turn
        stale_seconds = min(republish_seconds, EMPTY_BROKER_SECONDS) if broker_is_empty else republish_seconds
        failure = json.dumps(poison(max_deaths))
        publish: list[tuple[str, int]] = []
        failed: list[tuple[str, int]] = []
        troubles: list[str] = []
        for batch in batches:
            most = PAIRS_A_SWEEP - len(publish) - len(failed)
            if most <= 0:
                break
            try:
                due, dead = self._on(
                    "sweep",
                    batch,
                    self._now(),
                    _ms(stale_seconds),
                    max_deaths,
                    min_window,
                    most,
                    failure,
                    expiring,
                    _ms(lease_seconds),
                    _ms(delay_seconds),
                )
            except LedgerUnavailable as error:
                # What the other batches' scripts name counts as published: it must not be lost with this one.
                if not isinstance(error.__cause__, redis.ResponseError):
                    raise
                troubles.append(f"batch {batch}: {error}")
                continue
            publish += [(batch, int(pair)) for pair in due]
            failed += [(batch, int(pair)) for pair in dead]
        unreported = self._run(
            "unreported",
            [self._keys.shared("unreported")],
            self._now(),
            _ms(REPORT_AGAIN_SECONDS),
            ENDS_A_SWEEP,
        )
        forgotten = self._forget_outlived(retention_seconds) if retention_seconds is not None else []
        return SweepResult(
            True, tuple(publish), tuple(failed), tuple(unreported), tuple(forgotten), tuple(troubles)
        )

    def _sweep_soon(self) -> None:
        """What a sweep must publish, people wait for: the next heart that asks gets its turn."""
        with translated(self._client):
            self._client.hdel(self._keys.shared("sweep"), "until")

    def _forget_outlived(self, keep_seconds: float) -> list[str]:
        outlived = self._run(
            "outlived", [self._keys.shared("over")], self._now(), _ms(keep_seconds), ENDS_A_SWEEP
        )
        return [batch for batch in outlived if self.forget(batch)]

    def control(self, batch: str, action: Control) -> BatchStatus:
        told = answers.status(batch, self._on("control", batch, self._now(), Control(action).value))
        if action == Control.RESUME:
            self._sweep_soon()
        return told

    def retry(self, batch: str, pairs: Iterable[int] | None = None) -> int:
        if pairs is None:
            pairs = (failure.pair for failure in self.failures(batch))
        wanted, moved = sorted(set(pairs)), 0
        for first in range(0, max(1, len(wanted)), PAIRS_A_RETRY):
            answer = self._on("retry", batch, self._now(), *wanted[first : first + PAIRS_A_RETRY])
            if answer is None:
                raise no_such_batch(batch)
            moved += answer
        return moved

    def set_priority(self, batch: str, priority: int) -> BatchStatus:
        priority = checked_priority(batch, priority)
        told = answers.status(batch, self._on("prioritise", batch, self._now(), priority))
        self._sweep_soon()
        return told

    def forget(self, batch: str) -> bool:
        keys = [*self._keys.for_scripts(batch), self._keys.shared("batches")]
        with translated(self._client):
            token = cast("str | None", self._client.hget(self._keys.of_batch(batch, "meta"), "token"))
        if token:
            keys.append(self._keys.token(token))
        return bool(self._run("forget", keys, batch))

    def reporting(self, batch: str, *, reporter: str, ttl_seconds: float) -> bool:
        return bool(self._on("reporting", batch, self._now(), batch, reporter, _ms(ttl_seconds)))

    def reported(self, batch: str, finished_ms: int | None) -> None:
        finished = "" if finished_ms is None else finished_ms
        self._on("reported", batch, self._now(), batch, EVENTS_SECONDS, finished)

    def status(self, batch: str) -> BatchStatus:
        return answers.status(batch, self._on("status", batch, self._now()))

    def batches(self) -> list[str]:
        with translated(self._client):
            return cast("list[str]", self._client.zrevrange(self._keys.shared("batches"), 0, -1))

    def running(self, batch: str | None = None) -> list[RunningPair]:
        with translated(self._client):
            found = [batch] if batch is not None else self._client.zrange(self._keys.shared("active"), 0, -1)
            return [pair for each in cast("list[str]", found) for pair in self._running(each)]

    def failures(self, batch: str) -> Iterator[Failure]:
        self.status(batch)
        return self._failures(batch)

    def done_pairs(self, batch: str) -> Iterator[int]:
        self.status(batch)
        return self._done_pairs(batch)

    def events(self, batch: str, *, after: str = "0", block_seconds: float = 0.0) -> list[Event]:
        key = self._keys.of_batch(batch, "events")
        after = after if _EVENT_ID.fullmatch(after) else "0"
        deadline = time.monotonic() + block_seconds
        with translated(self._client):
            while True:
                entries = cast(
                    "list[tuple[str, dict[str, str]]]", self._client.xrange(key, min=f"({after}", max="+")
                )
                left = deadline - time.monotonic()
                if entries or left <= 0:
                    return [answers.event(batch, *entry) for entry in entries]
                # Only to wait: XRANGE reads the same in both versions of the protocol, XREAD does not.
                self._client.xread({key: after}, count=1, block=max(1, _ms(min(left, BLOCK_SECONDS))))

    def beat(self, worker: str, info: dict[str, Any], *, ttl_seconds: float) -> None:
        self._run("beat", self._worker_keys(), self._now(), worker, _ms(ttl_seconds), json.dumps(info))

    def leave(self, worker: str) -> None:
        workers, info = self._worker_keys()
        with translated(self._client):
            self._client.zrem(workers, worker)
            self._client.hdel(info, worker)

    def workers(self) -> list[WorkerInfo]:
        answer = self._run("workers", self._worker_keys(), self._now())
        return [
            WorkerInfo(worker, **json.loads(told))
            for worker, told in zip(answer[::2], answer[1::2], strict=True)
        ]

    def bury(self, raw: str, reason: str) -> None:
        letter = json.dumps({"reason": reason, "raw": raw[:DEAD_LETTER_CHARACTERS]})
        self._run("bury", [self._keys.shared("dead_letters")], self._now(), letter, DEAD_LETTERS)

    def dead_letters(self) -> list[DeadLetter]:
        key = self._keys.shared("dead_letters")
        with translated(self._client):
            letters = cast(
                "list[tuple[str, float]]", self._client.zrange(key, 0, -1, desc=True, withscores=True)
            )
        return [DeadLetter(int(at_ms), **json.loads(letter)) for letter, at_ms in letters]

    def forget_dead_letters(self, until_ms: int) -> int:
        with translated(self._client):
            return self._client.zremrangebyscore(self._keys.shared("dead_letters"), "-inf", until_ms)

    def _now(self) -> int:
        return 0 if self._clock is None else self._clock()

    def _worker_keys(self) -> list[str]:
        return [self._keys.shared("workers"), self._keys.shared("worker_info")]

    def _on(self, script: str, batch: str, *args: str | int) -> Any:
        return self._run(script, self._keys.for_scripts(batch), *args)

    def _run(self, script: str, keys: list[str], *args: str | int) -> Any:
        with translated(self._client):
            return self._scripts[script](keys=keys, args=args)

    def _running(self, batch: str) -> list[RunningPair]:
        def key(name: str) -> str:
            return self._keys.of_batch(batch, name)

        with self._client.pipeline(transaction=True) as reads:
            reads.zrange(key("leases"), 0, -1, withscores=True)
            for name in ("runners", "attempts", "progress"):
                reads.hgetall(key(name))
            leases, runners, attempts, progress = reads.execute()
        return [
            RunningPair(
                batch,
                int(pair),
                worker=runners.get(pair, ""),
                attempt=int(attempts.get(pair, 0)),
                lease_expires_ms=int(expires_ms),
                progress=json.loads(progress.get(pair, "{}")),
            )
            for pair, expires_ms in leases
        ]

    def _failures(self, batch: str) -> Iterator[Failure]:
        with translated(self._client):
            for pair, kept in self._client.hscan_iter(self._keys.of_batch(batch, "failures"), count=500):
                yield answers.failure(int(pair), json.loads(kept))

    def _done_pairs(self, batch: str) -> Iterator[int]:
        key = self._keys.of_batch(batch, "done")
        first_byte = 0
        while True:
            with translated(self._client):
                # A bitmap is no text: this one answer is not decoded.
                chunk = cast(
                    "bytes",
                    self._client.execute_command(  # type: ignore[no-untyped-call]
                        "GETRANGE", key, first_byte, first_byte + BITMAP_CHUNK_BYTES - 1, NEVER_DECODE=True
                    ),
                )
            for offset, byte in enumerate(chunk):
                if byte:
                    yield from (8 * (first_byte + offset) + bit for bit in range(8) if byte & (128 >> bit))
            if len(chunk) < BITMAP_CHUNK_BYTES:
                return
            first_byte += BITMAP_CHUNK_BYTES


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
