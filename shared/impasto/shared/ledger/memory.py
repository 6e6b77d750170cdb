"""The ledger in this process's memory: the same transitions in plain Python.

For tests, and as the scripts' second, independent telling: the same commands must get the same answers.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from impasto.shared.ledger.interface import (
    BatchOpening,
    BatchState,
    BatchStatus,
    Control,
    DeadLetter,
    Event,
    EventType,
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
from impasto.shared.ledger.policy import (
    BATCHES_A_SWEEP,
    DEAD_LETTER_CHARACTERS,
    DEAD_LETTERS,
    EMPTY_BROKER_SECONDS,
    ENDS_A_SWEEP,
    LONGEST_AHEAD_SECONDS,
    PAIRS_A_RETRY,
    PAIRS_A_SWEEP,
    POSTPONED_OUTSIDE_WINDOW,
    REPORT_AGAIN_SECONDS,
    TOKEN_SECONDS,
    checked_priority,
    no_such_batch,
    poison,
)

NOTHING = Settled(counted=False, batch_finished=False)


@dataclass
class _Run:
    """A lease that is out."""

    lease_id: str
    worker: str
    expires_ms: int
    computing: bool
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Batch:
    opening: BatchOpening
    created_ms: int
    priority: int
    state: BatchState = BatchState.ACTIVE
    cursor: int = 0
    cancelled: int = 0
    finished_ms: int | None = None
    busy_ms: int = 0
    timed: int = 0
    swept_ms: int = 0
    again: set[int] = field(default_factory=set)
    due: dict[int, int] = field(default_factory=dict)
    backoff: dict[int, int] = field(default_factory=dict)
    runs: dict[int, _Run] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    suspects: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    failures: dict[int, Failure] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=10_000))

    @property
    def settled(self) -> int:
        return len(self.done) + len(self.failures) + self.cancelled

    @property
    def has_waiting(self) -> bool:
        return self.cursor < self.opening.total or bool(self.again)

    def is_settled(self, pair: int) -> bool:
        return pair in self.done or pair in self.failures


class MemoryLedger:
    """Implements `Ledger` for one process; safe to share between threads. `clock` answers in milliseconds."""

    def __init__(self, *, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or (lambda: time.time_ns() // 1_000_000)
        self._changed = threading.Condition(threading.RLock())
        self._batches: dict[str, _Batch] = {}
        self._tokens: dict[str, tuple[str, int]] = {}
        self._workers: dict[str, tuple[WorkerInfo, int]] = {}
        self._unreported: dict[str, int] = {}
        self._reporters: dict[str, tuple[str, int]] = {}
        self._letters: dict[tuple[str, str], int] = {}
        self._ready: dict[str, int] = {}
        self._swept_until_ms = self._last_sweep_ms = self._sweeping_since_ms = 0
        self._event_count = 0

    def ping(self) -> None:
        """Always answers."""

    def open(self, opening: BatchOpening) -> Opened:
        with self._changed:
            now = self._clock()
            if opening.token is not None:
                earlier, expires_ms = self._tokens.get(opening.token, (opening.batch, 0))
                if expires_ms > now and earlier != opening.batch:
                    return Opened(earlier, created=False)
            if opening.batch in self._batches:
                return Opened(opening.batch, created=False)
            if opening.token is not None:
                self._tokens[opening.token] = (opening.batch, now + _ms(TOKEN_SECONDS))
            batch = self._batches[opening.batch] = _Batch(opening, created_ms=now, priority=opening.priority)
            self._tell(
                batch,
                EventType.BATCH_OPENED,
                total=opening.total,
                priority=opening.priority,
                name=opening.name,
            )
            return Opened(opening.batch, created=True)

    def opened_by(self, token: str) -> str | None:
        with self._changed:
            batch, expires_ms = self._tokens.get(token, ("", 0))
            return batch if expires_ms > self._clock() else None

    def advance(self, batch: str, *, min_window: int) -> list[int]:
        with self._changed:
            found = self._batches.get(batch)
            if found is None or found.state is not BatchState.ACTIVE:
                return []
            return self._advance(found, min_window, most=found.opening.total)

    def unpublished(self, batch: str, pairs: Sequence[int]) -> None:
        with self._changed:
            if (found := self._batches.get(batch)) is not None:
                published = found.due.keys() - found.backoff.keys()
                found.due.update((pair, 0) for pair in pairs if pair in published)

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
        with self._changed:
            now = self._clock()
            found = self._batches.get(batch)
            if found is None or not 0 <= pair < found.opening.total:
                return Refusal.UNKNOWN
            if found.is_settled(pair):
                return Refusal.SETTLED
            run = found.runs.get(pair)
            if run is not None and run.lease_id == lease_id:
                run.expires_ms = now + _ms(ttl_seconds)
                return self._leased(found, pair)
            if found.state is BatchState.CANCELLED:
                return Refusal.CANCELLED
            if pair >= found.cursor:
                return Refusal.UNKNOWN
            if found.state is BatchState.PAUSED:
                return Refusal.PAUSED
            if pair in found.again:
                return Refusal.NOT_YET
            if run is not None and run.expires_ms > now:
                return Refusal.RUNNING
            if found.backoff.get(pair, 0) > now:
                return Refusal.NOT_YET
            if run is not None:
                self._expire(found, pair)
            found.due.pop(pair, None)
            found.backoff.pop(pair, None)
            found.runs[pair] = _Run(lease_id, worker, now + _ms(ttl_seconds), computing)
            attempt = found.attempts[pair] = found.attempts.get(pair, 0) + 1
            deaths = found.deaths.get(pair, 0)
            self._tell(found, EventType.PAIR_LEASED, pair, worker=worker, attempt=attempt, deaths=deaths)
            return self._leased(found, pair)

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
        with self._changed:
            found = self._held(batch, pair, lease_id)
            if found is None:
                return RenewAnswer.LOST
            run = found.runs[pair]
            run.expires_ms = self._clock() + _ms(ttl_seconds)
            run.progress = json.loads(json.dumps(progress))
            run.computing = computing
            if found.state is BatchState.CANCELLED:
                return RenewAnswer.CANCELLED
            return RenewAnswer.PAUSED if found.state is BatchState.PAUSED else RenewAnswer.HELD

    def finish(self, batch: str, pair: int, *, lease_id: str, busy_seconds: float) -> Settled:
        with self._changed:
            found = self._batches.get(batch)
            if found is None or not 0 <= pair < found.opening.total or found.is_settled(pair):
                return NOTHING
            if found.state is BatchState.CANCELLED and pair not in found.runs:
                return NOTHING
            found.done.add(pair)
            if _ms(busy_seconds) > 0:
                found.busy_ms += _ms(busy_seconds)
                found.timed += 1
            return self._settle(found, pair, EventType.PAIR_DONE, busy_seconds=_ms(busy_seconds) / 1000)

    def postpone(
        self, batch: str, pair: int, *, lease_id: str, delay_seconds: float, give_back: bool, reason: str
    ) -> bool:
        with self._changed:
            found = self._held(batch, pair, lease_id)
            if found is None:
                return False
            data = {"reason": reason, "delay_seconds": delay_seconds, "give_back": give_back}
            if found.state is BatchState.CANCELLED:
                found.cancelled += 1
                self._settle(found, pair, EventType.PAIR_CANCELLED, **data)
                return True
            del found.runs[pair]
            found.attempts[pair] -= int(give_back)
            found.due[pair] = self._clock() + _ms(delay_seconds)
            if _ms(delay_seconds) > 0:
                found.backoff[pair] = found.due[pair]
            self._tell(found, EventType.PAIR_POSTPONED, pair, **data)
            return True

    def fail(self, batch: str, pair: int, *, lease_id: str, failure: Failure) -> Settled:
        with self._changed:
            found = self._held(batch, pair, lease_id)
            if found is None:
                return NOTHING
            outcome = EventType.PAIR_FAILED
            if found.state is BatchState.CANCELLED:
                outcome = EventType.PAIR_CANCELLED
                found.cancelled += 1
            else:
                found.failures[pair] = replace(failure, pair=pair, failed_ms=self._clock())
            return self._settle(found, pair, outcome, **failure.told())

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
        with self._changed:
            now = self._clock()
            if now < self._swept_until_ms <= now + _ms(every_seconds):
                return SweepResult(ran=False)
            self._swept_until_ms = now + _ms(every_seconds)
            if now - self._last_sweep_ms > 3 * _ms(every_seconds) or self._last_sweep_ms > now:
                self._sweeping_since_ms = now
            self._last_sweep_ms = now
            expiring = now - self._sweeping_since_ms >= 3 * _ms(every_seconds)
            stale_seconds = (
                min(republish_seconds, EMPTY_BROKER_SECONDS) if broker_is_empty else republish_seconds
            )
            publish: list[tuple[str, int]] = []
            failed: list[tuple[str, int]] = []
            waiting_longest = sorted(self._open_batches(), key=lambda b: (b.swept_ms, b.opening.batch))
            for batch in waiting_longest[:BATCHES_A_SWEEP]:
                most = PAIRS_A_SWEEP - len(publish) - len(failed)
                if most <= 0:
                    break
                self._draw_back(batch, now + _ms(lease_seconds), now + _ms(delay_seconds))
                due, dead = self._sweep(
                    batch, _ms(stale_seconds), max_deaths, min_window, most, expiring=expiring
                )
                publish += [(batch.opening.batch, pair) for pair in due]
                failed += [(batch.opening.batch, pair) for pair in dead]
            unreported = sorted((at, b) for b, at in self._unreported.items() if at <= now)[:ENDS_A_SWEEP]
            for _, name in unreported:
                self._unreported[name] = now + _ms(REPORT_AGAIN_SECONDS)
            forgotten = self._forget_outlived(retention_seconds) if retention_seconds is not None else []
            return SweepResult(
                True, tuple(publish), tuple(failed), tuple(name for _, name in unreported), tuple(forgotten)
            )

    def control(self, batch: str, action: Control) -> BatchStatus:
        with self._changed:
            found = self._find(batch)
            action = Control(action)
            if action is Control.CANCEL and not found.state.is_final:
                found.state = BatchState.CANCELLED
                found.cancelled = found.opening.total - found.settled - len(found.runs)
                found.again.clear()
                found.due.clear()
                found.backoff.clear()
                for counts in (found.attempts, found.deaths):
                    for pair in counts.keys() - found.runs.keys():
                        del counts[pair]
                found.suspects &= found.runs.keys()
                self._ready.pop(batch, None)
                self._tell(
                    found, EventType.BATCH_CANCELLED, cancelled=found.cancelled, running=len(found.runs)
                )
                self._close_if_over(found)
            elif action is Control.PAUSE and found.state is BatchState.ACTIVE:
                found.state = BatchState.PAUSED
                self._ready.pop(batch, None)
                self._tell(found, EventType.BATCH_PAUSED)
            elif action is Control.RESUME and found.state is BatchState.PAUSED:
                found.state = BatchState.ACTIVE
                self._publish_again(found)
                self._tell(found, EventType.BATCH_RESUMED)
            if action is Control.RESUME:
                self._swept_until_ms = 0
            return self.status(batch)

    def retry(self, batch: str, pairs: Iterable[int] | None = None) -> int:
        with self._changed:
            found = self._find(batch)
            if found.state is BatchState.CANCELLED:
                return 0
            wanted = sorted(found.failures if pairs is None else set(pairs))
            return sum(
                self._retry(found, wanted[first : first + PAIRS_A_RETRY])
                for first in range(0, len(wanted), PAIRS_A_RETRY)
            )

    def set_priority(self, batch: str, priority: int) -> BatchStatus:
        with self._changed:
            priority = checked_priority(batch, priority)
            found = self._find(batch)
            if not found.state.is_final and found.priority != priority:
                found.priority = priority
                if batch in self._ready:
                    self._ready[batch] = priority
                self._publish_again(found)
                self._tell(found, EventType.BATCH_PRIORITISED, priority=priority)
            self._swept_until_ms = 0
            return self.status(batch)

    def forget(self, batch: str) -> bool:
        with self._changed:
            found = self._batches.get(batch)
            if found is None:
                return True
            if found.finished_ms is None:
                return False
            del self._batches[batch]
            self._unreported.pop(batch, None)
            self._reporters.pop(batch, None)
            self._tokens = {token: opened for token, opened in self._tokens.items() if opened[0] != batch}
            return True

    def reporting(self, batch: str, *, reporter: str, ttl_seconds: float) -> bool:
        with self._changed:
            now = self._clock()
            if batch not in self._unreported:
                return False
            other, until_ms = self._reporters.get(batch, (reporter, 0))
            if other != reporter and until_ms > now:
                return False
            self._reporters[batch] = (reporter, now + _ms(ttl_seconds))
            self._unreported[batch] = now + _ms(ttl_seconds)
            return True

    def reported(self, batch: str, finished_ms: int | None) -> None:
        with self._changed:
            found = self._batches.get(batch)
            if found is None or found.finished_ms is None:
                return
            if found.finished_ms == finished_ms:
                self._unreported.pop(batch, None)
                self._reporters.pop(batch, None)
            else:
                self._unreported.setdefault(batch, self._clock())

    def status(self, batch: str) -> BatchStatus:
        with self._changed:
            found = self._find(batch)
            opening, busy_seconds, workers = found.opening, found.busy_ms / 1000, len(self.workers())
            unsettled = opening.total - found.settled
            return BatchStatus(
                batch=batch,
                name=opening.name,
                state=found.state,
                priority=found.priority,
                total=opening.total,
                waiting=unsettled - len(found.due) - len(found.runs),
                due=len(found.due),
                running=len(found.runs),
                done=len(found.done),
                failed=len(found.failures),
                cancelled=found.cancelled,
                created_ms=found.created_ms,
                finished_ms=found.finished_ms,
                busy_seconds=busy_seconds,
                workers=workers,
                eta_seconds=BatchStatus.eta(
                    pairs=unsettled, busy_seconds=busy_seconds, timed=found.timed, workers=workers
                ),
            )

    def batches(self) -> list[str]:
        with self._changed:
            return sorted(self._batches, key=lambda b: (self._batches[b].created_ms, b), reverse=True)

    def running(self, batch: str | None = None) -> list[RunningPair]:
        with self._changed:
            return [
                RunningPair(name, pair, run.worker, found.attempts[pair], run.expires_ms, run.progress)
                for name, found in self._batches.items()
                if batch in (None, name)
                for pair, run in sorted(
                    found.runs.items(), key=lambda item: (item[1].expires_ms, str(item[0]))
                )
            ]

    def failures(self, batch: str) -> Iterator[Failure]:
        with self._changed:
            return iter(list(self._find(batch).failures.values()))

    def done_pairs(self, batch: str) -> Iterator[int]:
        with self._changed:
            return iter(sorted(self._find(batch).done))

    def events(self, batch: str, *, after: str = "0", block_seconds: float = 0.0) -> list[Event]:
        last = int(after) if after.isdecimal() else 0

        def later() -> list[Event]:
            found = self._batches.get(batch)
            return [event for event in found.events if int(event.id) > last] if found else []

        with self._changed:
            self._changed.wait_for(lambda: bool(later()), timeout=block_seconds)
            return later()

    def beat(self, worker: str, info: dict[str, Any], *, ttl_seconds: float) -> None:
        with self._changed:
            now = self._clock()
            told = WorkerInfo(worker, now, json.loads(json.dumps(info)))
            self._workers = {name: w for name, w in self._workers.items() if w[1] > now}
            self._workers[worker] = (told, now + _ms(ttl_seconds))

    def leave(self, worker: str) -> None:
        with self._changed:
            self._workers.pop(worker, None)

    def workers(self) -> list[WorkerInfo]:
        with self._changed:
            now = self._clock()
            living = (w for w in self._workers.values() if w[1] > now)
            by_expiry = sorted(living, key=lambda w: (w[1], w[0].worker))
            return [told for told, _ in by_expiry]

    def bury(self, raw: str, reason: str) -> None:
        with self._changed:
            self._letters[(reason, raw[:DEAD_LETTER_CHARACTERS])] = self._clock()
            for letter in sorted(self._letters, key=lambda each: self._letters[each])[:-DEAD_LETTERS]:
                del self._letters[letter]

    def dead_letters(self) -> list[DeadLetter]:
        with self._changed:
            newest = sorted(self._letters.items(), key=lambda item: item[1], reverse=True)
            return [DeadLetter(at_ms, reason, raw) for (reason, raw), at_ms in newest]

    def forget_dead_letters(self, until_ms: int) -> int:
        with self._changed:
            kept = {letter: at_ms for letter, at_ms in self._letters.items() if at_ms > until_ms}
            forgotten = len(self._letters) - len(kept)
            self._letters = kept
            return forgotten

    def _find(self, batch: str) -> _Batch:
        try:
            return self._batches[batch]
        except KeyError:
            raise no_such_batch(batch) from None

    def _held(self, batch: str, pair: int, lease_id: str) -> _Batch | None:
        """The batch, if that lease is the one that is out on the pair."""
        found = self._batches.get(batch)
        run = found.runs.get(pair) if found else None
        return found if run is not None and run.lease_id == lease_id else None

    def _open_batches(self) -> list[_Batch]:
        return [batch for batch in self._batches.values() if batch.finished_ms is None]

    def _publish_again(self, batch: _Batch) -> None:
        batch.due.update((pair, 0) for pair in batch.due.keys() - batch.backoff.keys())
        batch.swept_ms = 0

    def _retry(self, batch: _Batch, pairs: list[int]) -> int:
        failed = [pair for pair in pairs if pair in batch.failures]
        for pair in failed:
            del batch.failures[pair]
            batch.again.add(pair)
            self._tell(batch, EventType.PAIR_RETRIED, pair)
        if failed:
            if batch.state is BatchState.FAILED:
                batch.state = BatchState.ACTIVE
                batch.finished_ms = None
                self._unreported.pop(batch.opening.batch, None)
                self._reporters.pop(batch.opening.batch, None)
            batch.swept_ms = 0
            self._tell(batch, EventType.BATCH_RETRIED, pairs=len(failed))
        return len(failed)

    def _forget_outlived(self, keep_seconds: float) -> list[str]:
        until_ms = self._clock() - _ms(keep_seconds)
        over = sorted(
            (found.finished_ms, name)
            for name, found in self._batches.items()
            if found.finished_ms is not None and found.finished_ms <= until_ms
        )
        return [name for _, name in over[:ENDS_A_SWEEP] if self.forget(name)]

    def _advance(self, batch: _Batch, min_window: int, *, most: int) -> list[int]:
        name = batch.opening.batch
        if not batch.has_waiting:
            self._ready.pop(name, None)
            return []
        self._ready[name] = batch.priority
        sharers = sum(priority == batch.priority for priority in self._ready.values())
        window = -(-max(min_window, 4 * len(self.workers())) // sharers)
        in_backoff = len(batch.backoff)
        postponed = min(in_backoff, POSTPONED_OUTSIDE_WINDOW)
        room = window - (len(batch.due) - postponed) - len(batch.runs)
        pairs = sorted(batch.again)[: max(0, min(room, most))]
        for pair in pairs:
            batch.again.remove(pair)
            batch.due[pair] = self._clock()
        while batch.cursor < batch.opening.total and len(pairs) < min(room, most):
            if batch.cursor not in batch.done:
                batch.due[batch.cursor] = self._clock()
                pairs.append(batch.cursor)
            batch.cursor += 1
        if (in_backoff > postponed and room <= 0) or not batch.has_waiting:
            del self._ready[name]
        if pairs:
            self._tell(batch, EventType.BATCH_ADVANCED, pairs=len(pairs), cursor=batch.cursor)
        return pairs

    def _draw_back(self, batch: _Batch, latest_lease_ms: int, latest_start_ms: int) -> None:
        """What lies further ahead than it could have been set."""
        for run in batch.runs.values():
            run.expires_ms = min(run.expires_ms, latest_lease_ms)
        for times in (batch.backoff, batch.due):
            times.update((pair, min(at_ms, latest_start_ms)) for pair, at_ms in list(times.items()))

    def _sweep(
        self,
        batch: _Batch,
        stale_ms: int,
        max_deaths: int,
        min_window: int,
        most: int,
        *,
        expiring: bool,
    ) -> tuple[list[int], list[int]]:
        now = batch.swept_ms = self._clock()
        publish: list[int] = []
        failed: list[int] = []

        def first(times: dict[int, int], until_ms: int, count: int) -> list[int]:
            passed = sorted((at, str(pair), pair) for pair, at in times.items() if at <= until_ms)
            return [pair for _, _, pair in passed[:count]]

        def make_due(pair: int) -> None:
            batch.backoff.pop(pair, None)
            batch.due[pair] = now
            if batch.state is BatchState.ACTIVE:
                publish.append(pair)

        leases = {pair: run.expires_ms for pair, run in batch.runs.items()} if expiring else {}
        for pair in first(leases, now, most):
            counted = self._expire(batch, pair)
            if batch.state is BatchState.CANCELLED:
                batch.cancelled += 1
                self._settle(batch, pair, EventType.PAIR_CANCELLED, reason="its worker died")
            elif counted and batch.deaths[pair] >= max_deaths:
                told = poison(max_deaths)
                batch.failures[pair] = Failure(
                    pair,
                    **told,
                    attempts=batch.attempts[pair],
                    content="",
                    style="",
                    failed_ms=now,
                )
                self._settle(batch, pair, EventType.PAIR_FAILED, **told)
                failed.append(pair)
            else:
                del batch.runs[pair]
                make_due(pair)
        if batch.state is BatchState.ACTIVE:
            for pair in first(batch.backoff, now, most - len(publish)):
                make_due(pair)
            for pair in first(batch.due, now - stale_ms, most - len(publish)):
                make_due(pair)
            publish += self._advance(batch, min_window, most=most - len(publish))
        return publish, failed

    def _leased(self, batch: _Batch, pair: int) -> Lease:
        return Lease(
            batch.opening.batch,
            pair,
            batch.runs[pair].lease_id,
            batch.attempts[pair],
            batch.deaths.get(pair, 0),
            pair in batch.suspects,
            batch.priority,
        )

    def _expire(self, batch: _Batch, pair: int) -> bool:
        """Whether the death is this pair's."""
        run = batch.runs[pair]
        counted = run.computing or pair in batch.suspects
        if counted:
            batch.deaths[pair] = batch.deaths.get(pair, 0) + 1
        else:
            batch.suspects.add(pair)
            batch.attempts[pair] -= 1
        deaths = batch.deaths.get(pair, 0)
        self._tell(batch, EventType.PAIR_EXPIRED, pair, worker=run.worker, deaths=deaths, counted=counted)
        return counted

    def _settle(self, batch: _Batch, pair: int, outcome: EventType, **data: Any) -> Settled:
        """Forget all of a pair that was just counted."""
        batch.again.discard(pair)
        batch.suspects.discard(pair)
        for kept in (batch.runs, batch.due, batch.backoff, batch.attempts, batch.deaths):
            kept.pop(pair, None)
        self._tell(batch, outcome, pair, **data)
        return Settled(counted=True, batch_finished=self._close_if_over(batch))

    def _close_if_over(self, batch: _Batch) -> bool:
        if batch.settled < batch.opening.total:
            return False
        if batch.state is not BatchState.CANCELLED:
            batch.state = BatchState.FAILED if batch.failures else BatchState.DONE
        batch.finished_ms = self._clock()
        self._ready.pop(batch.opening.batch, None)
        self._unreported[batch.opening.batch] = batch.finished_ms
        self._tell(
            batch,
            EventType.BATCH_FINISHED,
            state=batch.state.value,
            done=len(batch.done),
            failed=len(batch.failures),
            cancelled=batch.cancelled,
        )
        return True

    def _tell(self, batch: _Batch, type: EventType, pair: int | None = None, **data: Any) -> None:
        self._event_count += 1
        batch.events.append(
            Event(str(self._event_count), type, batch.opening.batch, self._clock(), pair, data)
        )
        self._changed.notify_all()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
