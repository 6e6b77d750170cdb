"""The ledger's contract: one method a transition of a pair's life, and what each answers.

Every transition is atomic and idempotent, since clients repeat commands whose answer was lost. Times are
milliseconds since the epoch by the ledger's own clock, never by the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from impasto.shared.errors import BadSettings, NothingToSubmit
from impasto.shared.ledger.policy import LONGEST_AHEAD_SECONDS


class BatchState(StrEnum):
    """A batch's state as people see it."""

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"  # nothing new starts; running pairs stop at their next step
    DONE = "done"  # every pair is done
    FAILED = "failed"  # every pair is settled, at least one of them failed

    @property
    def is_final(self) -> bool:
        """Whether nothing will start any more; a cancelled batch may still have pairs that are stopping."""
        return self in (BatchState.CANCELLED, BatchState.DONE, BatchState.FAILED)


class PairState(StrEnum):
    """Where a pair is in its life (docs/pair-life.md); the last three are terminal, but for a retry."""

    WAITING = "waiting"  # its turn has not come: the cursor has not reached it, or it failed and is retried
    DUE = "due"  # should be on the queue, from a given time on
    RUNNING = "running"  # a worker holds a lease
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Refusal(StrEnum):
    """Why a lease was not given. None of these is an error: the message was a hint."""

    UNKNOWN = "unknown"  # no such batch or pair
    SETTLED = "settled"  # done or failed already
    RUNNING = "running"  # another live worker holds it
    CANCELLED = "cancelled"
    PAUSED = "paused"
    NOT_YET = "not_yet"  # postponed or retried; its time has not come


class RenewAnswer(StrEnum):
    """What a running pair's worker is told when it renews its lease."""

    HELD = "held"
    CANCELLED = "cancelled"
    PAUSED = "paused"  # hand the pair back
    LOST = "lost"  # someone else holds it, or it is settled: stop, write nothing


class Control(StrEnum):
    """What people do to a batch."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


class EventType(StrEnum):
    """What an event tells; its data are listed in docs/pair-life.md."""

    BATCH_OPENED = "batch.opened"
    BATCH_ADVANCED = "batch.advanced"
    BATCH_PAUSED = "batch.paused"
    BATCH_RESUMED = "batch.resumed"
    BATCH_PRIORITISED = "batch.prioritised"
    BATCH_RETRIED = "batch.retried"
    BATCH_CANCELLED = "batch.cancelled"
    BATCH_FINISHED = "batch.finished"
    PAIR_LEASED = "pair.leased"
    PAIR_EXPIRED = "pair.expired"
    PAIR_POSTPONED = "pair.postponed"
    PAIR_DONE = "pair.done"
    PAIR_FAILED = "pair.failed"
    PAIR_CANCELLED = "pair.cancelled"
    PAIR_RETRIED = "pair.retried"


@dataclass(frozen=True)
class BatchOpening:
    """What the ledger must know of a batch; all else lies in the store.

    `total`: pairs, 1 to 2³²−1. `priority`: 0 (served first) to 9. `token`: within 30 days the same token
    opens one batch; None: every opening is a new batch. Raises NothingToSubmit, BadSettings.
    """

    batch: str
    total: int
    name: str
    priority: int = 5
    token: str | None = None

    def __post_init__(self) -> None:
        if self.total < 1:
            raise NothingToSubmit(f"batch {self.name!r} has no pairs: give it a content and a style at least")
        if self.total >= 2**32:
            raise BadSettings(f"batch {self.name!r} has {self.total} pairs, of at most {2**32 - 1}: split it")
        if not 0 <= self.priority <= 9:
            raise BadSettings(f"priority {self.priority} of batch {self.name!r} is outside 0 to 9")


@dataclass(frozen=True)
class Opened:
    """`batch` is the earlier one, and `created` False, when the token or the id was there already."""

    batch: str
    created: bool


@dataclass(frozen=True)
class Lease:
    """A running worker's claim on a pair. `attempt` counts from 1; `deaths` are its workers that died of it.

    `suspect`: its worker died once while another pair computed, and it may have been this one all the same.
    """

    batch: str
    pair: int
    lease_id: str
    attempt: int
    deaths: int
    suspect: bool = False
    priority: int = 5

    @property
    def alone(self) -> bool:
        """Whether it must share its worker with no other pair, so that a death tells whose it is."""
        return self.suspect or self.deaths > 0


@dataclass(frozen=True)
class Settled:
    """Answer to finish and fail. `counted`: whether this call moved the pair (False: it was settled already).

    `batch_finished`: whether this call settled the batch's last pair.
    """

    counted: bool
    batch_finished: bool


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found. `ran` is False when another heart swept a moment ago."""

    ran: bool
    publish: Sequence[tuple[str, int]] = ()  # (batch, pair) whose message must go out again
    failed: Sequence[tuple[str, int]] = ()  # pairs failed now for having killed too many workers
    unreported: Sequence[str] = ()  # finished batches whose report nobody has written yet
    forgotten: Sequence[str] = ()  # batches that have been over for longer than they are kept
    troubles: Sequence[str] = ()  # why batches could not be swept, a line each; the others were


@dataclass(frozen=True)
class BatchStatus:
    """A batch in numbers; `waiting + due + running + done + failed + cancelled == total`, always.

    `busy_seconds` is the sum over done pairs of the seconds that a worker spent on each. `eta_seconds` is
    the mean of that over the pairs it was told for, times the pairs to come, over the living workers (as if
    one lived where none does); None until it is known of one pair, 0 when the batch is over.
    """

    batch: str
    name: str
    state: BatchState
    priority: int
    total: int
    waiting: int
    due: int
    running: int
    done: int
    failed: int
    cancelled: int
    created_ms: int
    finished_ms: int | None
    busy_seconds: float
    workers: int
    eta_seconds: float | None

    def counts(self) -> dict[str, int]:
        """The counts by their public names, `total` first."""
        return {
            k: getattr(self, k) for k in ("total", "waiting", "due", "running", "done", "failed", "cancelled")
        }

    @property
    def settled(self) -> int:
        return self.done + self.failed + self.cancelled

    @property
    def is_over(self) -> bool:
        """Whether every pair is in a terminal state."""
        return self.settled == self.total

    @staticmethod
    def eta(*, pairs: int, busy_seconds: float, timed: int, workers: int) -> float | None:
        """Seconds that `pairs` to come will take, judged by `timed` done ones."""
        if pairs == 0:
            return 0.0
        return pairs * busy_seconds / timed / max(1, workers) if timed else None


@dataclass(frozen=True)
class RunningPair:
    """A pair under way.

    `progress` is what its worker last told: step, steps, loss, content_loss, style_loss.
    """

    batch: str
    pair: int
    worker: str
    attempt: int
    lease_expires_ms: int
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a pair failed, for people. `kind` is of the error tree; `failed_ms` is set by the ledger.

    `content` and `style` are names, and empty for a pair whose workers died: the batch's files have them.
    """

    pair: int
    kind: str
    message: str
    attempts: int
    content: str
    style: str
    failed_ms: int

    def told(self) -> dict[str, Any]:
        """What the failing worker says of it; the rest is the ledger's."""
        return {
            "kind": self.kind,
            "message": self.message,
            "content": self.content,
            "style": self.style,
            "attempts": self.attempts,
        }


@dataclass(frozen=True)
class Event:
    """One change of state. `id` orders a batch's events and resumes a reading after it."""

    id: str
    type: EventType
    batch: str
    at_ms: int
    pair: int | None
    data: dict[str, Any]


@dataclass(frozen=True)
class WorkerInfo:
    """A living worker, as it last told of itself (device, precision, weights, versions, host, pid)."""

    worker: str
    seen_ms: int
    info: dict[str, Any]


@dataclass(frozen=True)
class DeadLetter:
    """A message that was no pair job, as it came."""

    at_ms: int
    reason: str
    raw: str


class Ledger(Protocol):
    """State of all batches. Raises LedgerUnavailable when it can't be reached, NoSuchBatch where said."""

    def ping(self) -> None:
        """Answer, or raise LedgerUnavailable."""

    def open(self, opening: BatchOpening) -> Opened:
        """nothing → waiting: the batch becomes visible, whole."""

    def opened_by(self, token: str) -> str | None:
        """The batch that this token opened, None when it opened none: asked before anything is uploaded."""

    def advance(self, batch: str, *, min_window: int) -> list[int]:
        """waiting → due: pairs to publish now, as many as the window has room for.

        `min_window` or four times the number of living workers, whichever is larger, is shared by the batches
        of one priority that have pairs waiting; each gets one at least. Up to 64 postponed pairs take no
        room, so that a few bad ones do not stall the rest. Empty for a batch that is unknown, paused or
        cancelled.
        """

    def unpublished(self, batch: str, pairs: Sequence[int]) -> None:
        """These due pairs did not go out: the next sweep publishes them. Others are passed over."""

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
        """due → running, counting the attempt. The same `lease_id` again renews and counts nothing.

        `computing` False: it is only fetched, while another pair may compute. A lease that runs out so is no
        death, its attempt is given back, and the pair is a suspect. Of a suspect every death counts.
        """

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
        """running → running: the worker lives, this far it is, and whether this is the pair it computes."""

    def finish(self, batch: str, pair: int, *, lease_id: str, busy_seconds: float) -> Settled:
        """→ done, once, however often the pair ran.

        A holder whose lease ran out may still finish, even while another runs the pair (whose renewal then
        answers LOST), and so may whoever finds the result in the store before the pair ever ran. What is
        settled stays as it is: a pair already failed, or counted cancelled, is not made done.
        """

    def postpone(
        self, batch: str, pair: int, *, lease_id: str, delay_seconds: float, give_back: bool, reason: str
    ) -> bool:
        """running → due after a delay; `give_back` returns the attempt. In a cancelled batch: → cancelled.

        False when the caller no longer holds the pair. With no delay the caller publishes the pair itself.
        """

    def fail(self, batch: str, pair: int, *, lease_id: str, failure: Failure) -> Settled:
        """running → failed; in a cancelled batch → cancelled. Nothing when the caller no longer holds it."""

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
        """running → due or failed for leases that ran out; due again what nobody took; windows topped up.

        At most one sweep in `every_seconds` over all callers. A due pair is published again
        `republish_seconds` after it was last published, or after 5 seconds when the broker holds no message.
        A postponed pair is published once its time has come. `max_deaths` leases that ran out fail a pair.
        Where no sweep has run for a while, the server was away or everything slept: leases that ran out are
        left alone for three more turns, in which living workers renew theirs. A lease that ends later than
        `lease_seconds` from now and a backoff later than `delay_seconds` are from before the clock was set
        back, and are drawn back to that. One sweep does bounded work; the batches take turns. `unreported`
        names a batch again every half minute until `reported` is called. A batch that has been over for
        `retention_seconds` is forgotten.
        """

    def control(self, batch: str, action: Control) -> BatchStatus:
        """any → cancelled, paused, active. Raises NoSuchBatch. Repeating it changes nothing."""

    def retry(self, batch: str, pairs: Iterable[int] | None = None) -> int:
        """failed → waiting, of these pairs or of all: attempts and deaths anew; how many were moved.

        Pairs that are not failed are passed over. A batch that was over is active again, and will be reported
        again. In a cancelled batch nothing moves. Raises NoSuchBatch.
        """

    def set_priority(self, batch: str, priority: int) -> BatchStatus:
        """Change the batch's priority, 0 to 9; the next sweep publishes again what is due in it.

        A batch of which nothing will start any more keeps its own. Raises NoSuchBatch, BadSettings.
        """

    def forget(self, batch: str) -> bool:
        """Remove all that is kept of a batch that is over; whether the ledger knows nothing of it now.

        The token that opened it may open another. What of it lies in the store stays.
        """

    def reporting(self, batch: str, *, reporter: str, ttl_seconds: float) -> bool:
        """Whether this reporter is to write the finished batch's report, or to go on with it.

        False when another one said so less than its `ttl_seconds` ago, and when no report is missing: the
        batch was reported, or was retried. Until the time is over no sweep names the batch.
        """

    def reported(self, batch: str, finished_ms: int | None) -> None:
        """The report of the batch that finished then is in the store.

        Where the batch was retried and is over again, its report is missing once more, even if it was
        written: this one may have come later.
        """

    def status(self, batch: str) -> BatchStatus:
        """Raises NoSuchBatch. Cost does not grow with the batch."""

    def batches(self) -> list[str]:
        """All batches, newest first."""

    def running(self, batch: str | None = None) -> list[RunningPair]:
        """Pairs under way, of one batch or of all."""

    def failures(self, batch: str) -> Iterator[Failure]:
        """The batch's failed pairs, in no order. Raises NoSuchBatch."""

    def done_pairs(self, batch: str) -> Iterator[int]:
        """The batch's done pairs, ascending. Raises NoSuchBatch."""

    def events(self, batch: str, *, after: str = "0", block_seconds: float = 0.0) -> list[Event]:
        """Events after the one with that id, oldest first; waits up to `block_seconds` for a first one.

        About the last 10,000 events of a batch are kept, until 30 days after its report. An id that is none
        means from the start. A batch that is unknown has none.
        """

    def beat(self, worker: str, info: dict[str, Any], *, ttl_seconds: float) -> None:
        """The worker lives; it counts as living for `ttl_seconds`."""

    def leave(self, worker: str) -> None:
        """The worker ended by itself."""

    def workers(self) -> list[WorkerInfo]:
        """Living workers."""

    def bury(self, raw: str, reason: str) -> None:
        """Keep a message that is no pair job, for people to look at; the oldest go first past 1,000.

        The same message for the same reason is kept once, at its latest time; its first 16,384 characters.
        """

    def dead_letters(self) -> list[DeadLetter]:
        """Messages that were buried, newest first."""

    def forget_dead_letters(self, until_ms: int) -> int:
        """Drop those whose latest time is no later than this, in ms since 1970; tells how many."""
