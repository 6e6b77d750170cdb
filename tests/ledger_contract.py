"""What every ledger promises, one test a row of the pair's life; subclassed once an implementation."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from impasto.shared.errors import BadSettings, NoSuchBatch
from impasto.shared.ledger import (
    BatchOpening,
    BatchState,
    Control,
    Event,
    EventType,
    Failure,
    Lease,
    Ledger,
    Refusal,
    RenewAnswer,
    RunningPair,
    Settled,
    SweepResult,
)

_PAGE = (Path(__file__).parents[1] / "docs" / "pair-life.md").read_text(encoding="utf-8")


def _rows(title: str) -> list[list[str]]:
    lines = _PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0].splitlines()
    return [line.strip("|").split("|") for line in lines if line.startswith("| `")]


EVENT_DATA = {
    kind.strip(" `"): {frozenset(re.findall(r"`(\w+)`", variant)) for variant in data.split("; or,")}
    for kind, data in _rows("Events")
}
"""Of each event the names of its data, in each of its forms, as docs/pair-life.md has them."""
EVENT_FIELDS = {name.strip(" `"): type.strip() for name, type, _ in _rows("Data of events")}

COUNTED = Settled(counted=True, batch_finished=False)
LAST = Settled(counted=True, batch_finished=True)
NOT_COUNTED = Settled(counted=False, batch_finished=False)


class Clock:
    """A ledger's time, which only tests move."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms

    def pass_seconds(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def failure_of(pair: int) -> Failure:
    return Failure(
        pair, "bad_picture", "näme.png is cut short", attempts=1, content="c.png", style="s.png", failed_ms=0
    )


def opened(ledger: Ledger, total: int = 4, *, window: int = 4, batch: str = "b", priority: int = 5) -> str:
    """A batch with its first window due."""
    ledger.open(BatchOpening(batch, total, f"batch {batch}", priority))
    if window:
        ledger.advance(batch, min_window=window)
    return batch


def take(
    ledger: Ledger,
    batch: str,
    pair: int,
    lease_id: str = "mine",
    ttl: float = 30,
    *,
    computing: bool = True,
) -> Lease:
    lease = ledger.lease(
        batch,
        pair,
        worker=f"{lease_id}-worker",
        lease_id=lease_id,
        ttl_seconds=ttl,
        computing=computing,
    )
    assert isinstance(lease, Lease), lease
    return lease


def refused(ledger: Ledger, batch: str, pair: int, lease_id: str = "other") -> Refusal:
    answer = ledger.lease(batch, pair, worker="w", lease_id=lease_id, ttl_seconds=30)
    assert isinstance(answer, Refusal), answer
    return answer


def renew(ledger: Ledger, batch: str, pair: int, lease_id: str = "mine", **progress: Any) -> RenewAnswer:
    return ledger.renew(batch, pair, lease_id=lease_id, ttl_seconds=30, progress=progress)


def finish(ledger: Ledger, batch: str, pair: int, lease_id: str = "mine", busy: float = 2.0) -> Settled:
    return ledger.finish(batch, pair, lease_id=lease_id, busy_seconds=busy)


def run(ledger: Ledger, batch: str, *pairs: int) -> None:
    for pair in pairs:
        take(ledger, batch, pair)
        assert finish(ledger, batch, pair).counted


def fail(ledger: Ledger, batch: str, pair: int, lease_id: str = "mine") -> Settled:
    return ledger.fail(batch, pair, lease_id=lease_id, failure=failure_of(pair))


def postpone(
    ledger: Ledger,
    batch: str,
    pair: int,
    *,
    delay: float = 0.0,
    give_back: bool = False,
    lease_id: str = "mine",
) -> bool:
    return ledger.postpone(
        batch, pair, lease_id=lease_id, delay_seconds=delay, give_back=give_back, reason="store away"
    )


def sweep(
    ledger: Ledger,
    *,
    every: float = 0.0,
    republish: float = 600.0,
    empty: bool = False,
    max_deaths: int = 3,
    window: int = 4,
) -> SweepResult:
    return ledger.sweep(
        every_seconds=every,
        republish_seconds=republish,
        broker_is_empty=empty,
        max_deaths=max_deaths,
        min_window=window,
    )


def counts(ledger: Ledger, batch: str) -> dict[str, int]:
    """The counts that are not 0, without the total."""
    return {k: n for k, n in ledger.status(batch).counts().items() if n and k != "total"}


def types(events: Sequence[Event]) -> list[str]:
    return [event.type.value for event in events]


class LedgerContract:
    """Subclasses give the fixture `ledger`, which goes by the fixture `clock`."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    # nothing → waiting

    def test_a_batch_opens_whole_with_every_pair_waiting(self, ledger: Ledger, clock: Clock) -> None:
        opening = BatchOpening("b", 7, "spring / été", priority=3)
        assert ledger.open(opening).created
        status = ledger.status("b")
        assert (status.name, status.state, status.priority) == ("spring / été", BatchState.ACTIVE, 3)
        assert (status.total, status.waiting, status.settled) == (7, 7, 0)
        assert (status.created_ms, status.finished_ms) == (clock.ms, None)

    def test_the_largest_batch_opens_and_advances_like_the_smallest(self, ledger: Ledger) -> None:
        opened(ledger, 2**32 - 1, window=3)
        assert counts(ledger, "b") == {"waiting": 2**32 - 4, "due": 3}

    def test_the_same_token_opens_one_batch(self, ledger: Ledger) -> None:
        first = ledger.open(BatchOpening("b", 2, "n", token="nightly 1"))
        again = ledger.open(BatchOpening("c", 2, "n", token="nightly 1"))
        other = ledger.open(BatchOpening("d", 2, "n", token="nightly 2"))
        assert (first.batch, first.created) == ("b", True)
        assert ledger.opened_by("nightly 1") == "b"
        assert ledger.opened_by("nightly 3") is None
        assert (again.batch, again.created) == ("b", False)
        assert (other.batch, other.created) == ("d", True)
        assert sorted(ledger.batches()) == ["b", "d"]

    def test_opening_the_same_batch_again_keeps_what_it_has_done(self, ledger: Ledger) -> None:
        opened(ledger)
        run(ledger, "b", 0)
        assert not ledger.open(BatchOpening("b", 9, "n")).created
        assert (ledger.status("b").total, ledger.status("b").done) == (4, 1)

    def test_batches_are_listed_newest_first(self, ledger: Ledger, clock: Clock) -> None:
        for batch in ("x", "y", "z"):
            opened(ledger, batch=batch)
            clock.pass_seconds(1)
        assert ledger.batches() == ["z", "y", "x"]

    # waiting → due

    def test_the_window_bounds_what_is_due_and_tops_up_as_pairs_settle(self, ledger: Ledger) -> None:
        ledger.open(BatchOpening("b", 10, "n"))
        assert ledger.advance("b", min_window=3) == [0, 1, 2]
        assert ledger.advance("b", min_window=3) == []
        take(ledger, "b", 0)
        assert ledger.advance("b", min_window=3) == []
        finish(ledger, "b", 0)
        assert ledger.advance("b", min_window=3) == [3]

    def test_the_window_is_at_least_four_pairs_a_living_worker(self, ledger: Ledger, clock: Clock) -> None:
        ledger.open(BatchOpening("b", 100, "n"))
        ledger.beat("w1", {}, ttl_seconds=60)
        ledger.beat("w2", {}, ttl_seconds=60)
        ledger.beat("w3", {}, ttl_seconds=10)
        clock.pass_seconds(10)
        assert ledger.advance("b", min_window=1) == list(range(8))

    def test_batches_of_one_priority_that_have_pairs_waiting_share_the_window(self, ledger: Ledger) -> None:
        for batch, priority in (("a", 5), ("b", 5), ("c", 5), ("urgent", 0)):
            ledger.open(BatchOpening(batch, 100, "n", priority))
        assert len(ledger.advance("a", min_window=8)) == 8
        assert len(ledger.advance("b", min_window=8)) == 4
        assert len(ledger.advance("c", min_window=8)) == 3
        assert len(ledger.advance("urgent", min_window=8)) == 8
        run(ledger, "a", *range(5))
        assert ledger.advance("a", min_window=8) == []
        run(ledger, "a", 5)
        assert ledger.advance("a", min_window=8) == [8]

    def test_each_batch_has_a_pair_on_its_way_however_many_share(self, ledger: Ledger) -> None:
        for n in range(30):
            ledger.open(BatchOpening(f"b{n}", 2, "n"))
            assert ledger.advance(f"b{n}", min_window=4)[:1] == [0]

    def test_a_batch_that_can_use_no_share_leaves_it_to_the_others(self, ledger: Ledger) -> None:
        def share() -> int:
            ledger.advance("a", min_window=8)
            return ledger.status("a").due

        ledger.open(BatchOpening("a", 100, "n"))
        opened(ledger, 100, batch="paused", window=8)
        opened(ledger, 100, batch="cancelled", window=8)
        opened(ledger, 2, batch="small", window=8)
        opened(ledger, 100, batch="other", window=8)
        assert share() == 2
        ledger.control("paused", Control.PAUSE)
        ledger.control("cancelled", Control.CANCEL)
        assert share() == 4
        ledger.set_priority("other", 2)
        assert share() == 8

    def test_a_batch_that_is_stuck_in_its_backoffs_leaves_its_share_to_the_others(
        self, ledger: Ledger
    ) -> None:
        ledger.open(BatchOpening("stuck", 100, "n"))
        for _ in range(80):
            for pair in ledger.advance("stuck", min_window=4):
                take(ledger, "stuck", pair)
                postpone(ledger, "stuck", pair, delay=300)
        ledger.open(BatchOpening("a", 100, "n"))
        assert len(ledger.advance("a", min_window=4)) == 4

    def test_the_last_pairs_of_a_batch_become_due_once(self, ledger: Ledger) -> None:
        opened(ledger, 3, window=2)
        assert ledger.advance("b", min_window=9) == [2]
        assert ledger.advance("b", min_window=9) == []

    def test_nothing_advances_in_a_batch_that_is_unknown_paused_or_cancelled(self, ledger: Ledger) -> None:
        assert ledger.advance("nowhere", min_window=3) == []
        opened(ledger, window=0)
        ledger.control("b", Control.PAUSE)
        assert ledger.advance("b", min_window=3) == []
        ledger.control("b", Control.CANCEL)
        assert ledger.advance("b", min_window=3) == []

    def test_pairs_found_done_before_they_ran_are_passed_over(self, ledger: Ledger) -> None:
        opened(ledger, 20, window=0)
        for pair in (0, 1, *range(3, 18)):
            assert finish(ledger, "b", pair).counted
        assert ledger.advance("b", min_window=2) == [2, 18]
        assert counts(ledger, "b") == {"waiting": 1, "due": 2, "done": 17}
        assert refused(ledger, "b", 0) is Refusal.SETTLED

    def test_a_batch_found_wholly_done_is_over(self, ledger: Ledger) -> None:
        opened(ledger, 8, window=0)
        assert [finish(ledger, "b", pair) for pair in range(8)] == [*[COUNTED] * 7, LAST]
        assert ledger.advance("b", min_window=4) == []
        assert ledger.status("b").state is BatchState.DONE

    # due → running

    def test_a_lease_counts_the_attempt_before_anything_is_computed(self, ledger: Ledger) -> None:
        opened(ledger)
        assert take(ledger, "b", 1) == Lease("b", 1, "mine", attempt=1, deaths=0)
        assert counts(ledger, "b") == {"due": 3, "running": 1}

    def test_the_same_lease_again_renews_it_and_counts_nothing(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        first = take(ledger, "b", 0)
        clock.pass_seconds(20)
        assert take(ledger, "b", 0) == first
        (running,) = ledger.running("b")
        assert running.lease_expires_ms == clock.ms + 30_000

    def test_a_pair_that_does_not_exist_or_was_never_due_is_unknown(self, ledger: Ledger) -> None:
        opened(ledger, 4, window=2)
        assert refused(ledger, "nowhere", 0) is Refusal.UNKNOWN
        assert refused(ledger, "b", 4) is Refusal.UNKNOWN
        assert refused(ledger, "b", -1) is Refusal.UNKNOWN
        assert refused(ledger, "b", 2) is Refusal.UNKNOWN

    def test_a_settled_pair_is_not_leased_again(self, ledger: Ledger) -> None:
        opened(ledger)
        run(ledger, "b", 0)
        take(ledger, "b", 1)
        fail(ledger, "b", 1)
        assert refused(ledger, "b", 0, "mine") is Refusal.SETTLED
        assert refused(ledger, "b", 1, "mine") is Refusal.SETTLED

    def test_two_workers_never_hold_one_pair(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0, ttl=30)
        clock.pass_seconds(29.999)
        assert refused(ledger, "b", 0) is Refusal.RUNNING

    def test_a_lease_that_ran_out_is_taken_over_and_counts_as_a_death(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0, ttl=30)
        clock.pass_seconds(30)
        renew(ledger, "b", 0, step=7)
        clock.pass_seconds(30)
        assert take(ledger, "b", 0, "other") == Lease("b", 0, "other", attempt=2, deaths=1)
        assert renew(ledger, "b", 0) is RenewAnswer.LOST
        (running,) = ledger.running("b")
        assert (running.worker, running.progress) == ("other-worker", {})

    def test_a_paused_batch_leases_nothing_and_a_resumed_one_does(self, ledger: Ledger) -> None:
        opened(ledger)
        ledger.control("b", Control.PAUSE)
        assert refused(ledger, "b", 0) is Refusal.PAUSED
        ledger.control("b", Control.RESUME)
        take(ledger, "b", 0)

    def test_a_cancelled_batch_leases_nothing(self, ledger: Ledger) -> None:
        opened(ledger, 4, window=2)
        ledger.control("b", Control.CANCEL)
        assert {refused(ledger, "b", pair) for pair in range(4)} == {Refusal.CANCELLED}

    # running → running

    def test_a_renewed_lease_lasts_and_shows_its_progress(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(29)
        assert renew(ledger, "b", 0, step=7, loss=0.5) is RenewAnswer.HELD
        clock.pass_seconds(29)
        assert refused(ledger, "b", 0) is Refusal.RUNNING
        expected = RunningPair("b", 0, "mine-worker", 1, clock.ms + 1000, {"step": 7, "loss": 0.5})
        assert ledger.running("b") == [expected]
        assert ledger.running() == [expected]

    def test_a_lease_that_ran_out_but_was_not_taken_can_still_be_renewed(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(100)
        assert renew(ledger, "b", 0) is RenewAnswer.HELD
        assert sweep(ledger).publish == ()

    def test_renewing_tells_of_pause_and_cancel(self, ledger: Ledger) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        ledger.control("b", Control.PAUSE)
        assert renew(ledger, "b", 0) is RenewAnswer.PAUSED
        ledger.control("b", Control.CANCEL)
        assert renew(ledger, "b", 0) is RenewAnswer.CANCELLED

    def test_renewing_what_is_not_held_is_lost(self, ledger: Ledger) -> None:
        opened(ledger)
        assert renew(ledger, "nowhere", 0) is RenewAnswer.LOST
        assert renew(ledger, "b", 0) is RenewAnswer.LOST
        run(ledger, "b", 0)
        assert renew(ledger, "b", 0) is RenewAnswer.LOST

    # running → done

    def test_a_finished_pair_is_counted_once(self, ledger: Ledger) -> None:
        opened(ledger)
        take(ledger, "b", 2)
        assert finish(ledger, "b", 2) == COUNTED
        assert finish(ledger, "b", 2) == NOT_COUNTED
        assert counts(ledger, "b") == {"due": 3, "done": 1}
        assert list(ledger.done_pairs("b")) == [2]

    def test_the_last_pair_closes_the_batch_and_says_so_once(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 2)
        run(ledger, "b", 0)
        take(ledger, "b", 1)
        clock.pass_seconds(5)
        assert finish(ledger, "b", 1) == LAST
        assert finish(ledger, "b", 1) == NOT_COUNTED
        status = ledger.status("b")
        assert (status.state, status.finished_ms, status.is_over) == (BatchState.DONE, clock.ms, True)

    def test_a_late_finish_counts_while_another_runs_the_pair_who_then_hears_of_it(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(31)
        take(ledger, "b", 0, "other")
        assert finish(ledger, "b", 0, "mine") == COUNTED
        assert renew(ledger, "b", 0, "other") is RenewAnswer.LOST
        assert finish(ledger, "b", 0, "other") == NOT_COUNTED
        assert counts(ledger, "b") == {"due": 3, "done": 1}

    def test_a_late_finish_counts_while_the_pair_is_due_again(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(31)
        assert sweep(ledger).publish == (("b", 0),)
        assert finish(ledger, "b", 0) == COUNTED
        assert counts(ledger, "b") == {"due": 3, "done": 1}

    def test_a_failed_pair_stays_failed_however_late_it_is_finished(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(31)
        assert sweep(ledger, max_deaths=1).failed == (("b", 0),)
        assert finish(ledger, "b", 0) == NOT_COUNTED
        assert counts(ledger, "b") == {"due": 3, "failed": 1}
        assert list(ledger.done_pairs("b")) == []

    def test_finishing_what_does_not_exist_counts_nothing(self, ledger: Ledger) -> None:
        opened(ledger)
        assert finish(ledger, "nowhere", 0) == NOT_COUNTED
        assert finish(ledger, "b", 4) == NOT_COUNTED
        assert finish(ledger, "b", -1) == NOT_COUNTED

    def test_done_pairs_come_in_order_from_all_over_a_large_batch(self, ledger: Ledger) -> None:
        done = [0, 7, 8, 63, 524_287, 524_288, 524_289, 999_999]
        opened(ledger, 1_000_000, window=0)
        for pair in reversed(done):
            finish(ledger, "b", pair)
        assert list(ledger.done_pairs("b")) == done

    # running → due

    def test_a_postponed_pair_runs_when_its_time_has_come_and_not_before(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        assert postpone(ledger, "b", 0, delay=60)
        assert counts(ledger, "b") == {"due": 4}
        clock.pass_seconds(59.999)
        assert refused(ledger, "b", 0, "mine") is Refusal.NOT_YET
        assert sweep(ledger).publish == ()
        clock.pass_seconds(0.001)
        assert sweep(ledger).publish == (("b", 0),)
        assert sweep(ledger).publish == ()
        assert take(ledger, "b", 0).attempt == 2

    def test_a_postponed_pair_may_be_leased_on_time_before_any_sweep(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        postpone(ledger, "b", 0, delay=60)
        clock.pass_seconds(60)
        take(ledger, "b", 0, "other")
        assert sweep(ledger).publish == ()

    def test_a_pair_handed_back_gets_its_attempt_back(self, ledger: Ledger) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        assert postpone(ledger, "b", 0, give_back=True)
        assert not postpone(ledger, "b", 0, give_back=True)
        assert take(ledger, "b", 0, "other").attempt == 1

    def test_a_pair_handed_back_at_once_is_the_callers_to_publish(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(10)
        postpone(ledger, "b", 0)
        assert sweep(ledger).publish == ()
        clock.pass_seconds(595)
        assert ("b", 0) not in sweep(ledger).publish
        clock.pass_seconds(5)
        assert ("b", 0) in sweep(ledger).publish

    def test_only_the_holder_postpones(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        assert not postpone(ledger, "b", 0, lease_id="other")
        assert not postpone(ledger, "b", 1)
        assert not postpone(ledger, "nowhere", 0)
        clock.pass_seconds(31)
        sweep(ledger)
        assert not postpone(ledger, "b", 0)

    def test_postponing_in_a_cancelled_batch_cancels_the_pair(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        ledger.control("b", Control.CANCEL)
        assert postpone(ledger, "b", 0, give_back=True)
        status = ledger.status("b")
        assert (counts(ledger, "b"), status.state) == ({"cancelled": 2}, BatchState.CANCELLED)
        assert status.is_over

    # running → failed

    def test_a_failed_pair_is_kept_with_its_reason_for_the_report(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 2)
        take(ledger, "b", 1)
        assert fail(ledger, "b", 1) == COUNTED
        assert fail(ledger, "b", 1) == NOT_COUNTED
        (failure,) = ledger.failures("b")
        expected = failure_of(1)
        assert (failure.pair, failure.failed_ms) == (1, clock.ms)
        assert failure.told() == expected.told()

    def test_one_failed_pair_makes_a_failed_batch_of_which_the_rest_is_done(self, ledger: Ledger) -> None:
        opened(ledger, 3)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        run(ledger, "b", 1, 2)
        assert ledger.status("b").state is BatchState.FAILED
        assert counts(ledger, "b") == {"done": 2, "failed": 1}

    def test_only_the_holder_fails_a_pair(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        assert fail(ledger, "b", 0, "other") == NOT_COUNTED
        clock.pass_seconds(31)
        take(ledger, "b", 0, "other")
        assert fail(ledger, "b", 0) == NOT_COUNTED
        assert fail(ledger, "nowhere", 0) == NOT_COUNTED
        assert list(ledger.failures("b")) == []

    def test_failing_in_a_cancelled_batch_cancels_the_pair(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        ledger.control("b", Control.CANCEL)
        assert fail(ledger, "b", 0) == LAST
        assert counts(ledger, "b") == {"cancelled": 2}
        assert list(ledger.failures("b")) == []

    # sweep

    def test_one_heart_at_a_time_sweeps(self, ledger: Ledger, clock: Clock) -> None:
        assert sweep(ledger, every=5).ran
        clock.pass_seconds(4.999)
        assert sweep(ledger, every=5) == SweepResult(ran=False)
        clock.pass_seconds(0.001)
        assert sweep(ledger, every=5).ran

    def test_a_clock_set_back_does_not_stop_sweeping(self, ledger: Ledger, clock: Clock) -> None:
        assert sweep(ledger, every=5).ran
        clock.pass_seconds(-3600)
        assert sweep(ledger, every=5).ran

    def test_leases_that_ran_out_while_nobody_swept_are_left_for_their_workers_to_renew(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        def turns(count: int) -> list[tuple[str, int]]:
            published = []
            for _ in range(count):
                swept = sweep(ledger, every=5)
                assert swept.ran
                published += swept.publish
                clock.pass_seconds(5)
            return published

        opened(ledger, 2)
        turns(4)
        for pair, worker in enumerate(("alive", "dead")):
            take(ledger, "b", pair, worker)
        clock.pass_seconds(60)
        assert turns(1) == []
        assert renew(ledger, "b", 0, "alive") is RenewAnswer.HELD
        assert turns(2) == []
        assert turns(1) == [("b", 1)]
        assert renew(ledger, "b", 0, "alive") is RenewAnswer.HELD
        assert [e.pair for e in ledger.events("b") if e.type is EventType.PAIR_EXPIRED] == [1]

    def test_a_sweep_that_people_wait_for_is_no_silence(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 1)
        for _ in range(4):
            sweep(ledger, every=5)
            clock.pass_seconds(5)
        take(ledger, "b", 0, ttl=1)
        ledger.set_priority("b", 2)
        clock.pass_seconds(2)
        assert sweep(ledger, every=5).publish == (("b", 0),)

    def test_leases_and_backoffs_from_before_the_clock_was_set_back_are_drawn_back(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        def swept() -> tuple[tuple[str, int], ...]:
            return ledger.sweep(
                every_seconds=0,
                republish_seconds=600,
                broker_is_empty=False,
                max_deaths=3,
                min_window=4,
                lease_seconds=30,
                delay_seconds=60,
            ).publish

        opened(ledger, 3)
        take(ledger, "b", 0)
        take(ledger, "b", 1)
        postpone(ledger, "b", 1, delay=60)
        clock.pass_seconds(-3600)
        assert swept() == ()
        clock.pass_seconds(30)
        assert swept() == (("b", 0),)
        clock.pass_seconds(30)
        assert swept() == (("b", 1),)

    def test_what_did_not_go_out_is_published_by_the_next_sweep(self, ledger: Ledger) -> None:
        opened(ledger, 4)
        take(ledger, "b", 0)
        take(ledger, "b", 1)
        postpone(ledger, "b", 1, delay=60)
        assert sweep(ledger).publish == ()
        ledger.unpublished("b", [0, 1, 2, 9])
        ledger.unpublished("nowhere", [0])
        ledger.unpublished("b", [])
        assert sweep(ledger).publish == (("b", 2),)
        assert sweep(ledger).publish == ()

    def test_a_dead_workers_pair_is_published_again(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        take(ledger, "b", 0)
        clock.pass_seconds(29.999)
        assert sweep(ledger).publish == ()
        clock.pass_seconds(0.001)
        assert sweep(ledger).publish == (("b", 0),)
        assert renew(ledger, "b", 0) is RenewAnswer.LOST
        assert take(ledger, "b", 0, "other") == Lease("b", 0, "other", attempt=2, deaths=1)

    def test_a_pair_that_kills_its_workers_fails_and_says_how_often_it_was_tried(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 1)
        for death in range(3):
            take(ledger, "b", 0, f"l{death}")
            clock.pass_seconds(31)
            swept = sweep(ledger)
            assert swept.failed == ((("b", 0),) if death == 2 else ())
        (failure,) = ledger.failures("b")
        assert (failure.kind, failure.attempts, failure.failed_ms) == ("poison_pair", 3, clock.ms)
        assert swept.unreported == ("b",)
        assert ledger.status("b").state is BatchState.FAILED

    def test_a_death_is_the_computing_pairs_and_makes_a_suspect_of_the_one_beside(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        ahead = take(ledger, "b", 0, computing=False)
        take(ledger, "b", 1)
        assert (ahead.attempt, ahead.alone) == (1, False)
        clock.pass_seconds(31)
        assert sweep(ledger, max_deaths=1).failed == (("b", 1),)
        again = take(ledger, "b", 0, "other")
        assert (again.attempt, again.deaths, again.suspect, again.alone) == (1, 0, True, True)

    def test_a_suspects_next_death_is_its_own_wherever_it_was(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        for _ in range(2):
            take(ledger, "b", 0, computing=False)
            clock.pass_seconds(31)
            swept = sweep(ledger, max_deaths=1)
        assert swept.failed == (("b", 0),)

    def test_a_pair_that_has_ended_computing_is_not_charged_with_a_death(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger)
        take(ledger, "b", 0, computing=False)
        for computing in (True, False):
            renewed = ledger.renew("b", 0, lease_id="mine", ttl_seconds=30, progress={}, computing=computing)
            assert renewed is RenewAnswer.HELD
        clock.pass_seconds(31)
        # Taken over before any sweep came by.
        again = take(ledger, "b", 0, "other")
        assert (again.attempt, again.deaths, again.suspect) == (1, 0, True)

    def test_a_message_nobody_took_goes_out_again_after_a_while(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 1)
        clock.pass_seconds(599)
        assert sweep(ledger, republish=600).publish == ()
        clock.pass_seconds(1)
        assert sweep(ledger, republish=600).publish == (("b", 0),)
        assert sweep(ledger, republish=600).publish == ()

    def test_a_lost_message_goes_out_soon_when_the_broker_holds_none(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 1)
        clock.pass_seconds(4.999)
        assert sweep(ledger, empty=True).publish == ()
        clock.pass_seconds(0.001)
        assert sweep(ledger, empty=True).publish == (("b", 0),)

    def test_a_sweep_tops_up_windows_whose_worker_died_before_it_did(self, ledger: Ledger) -> None:
        opened(ledger, 9, window=2)
        run(ledger, "b", 0)
        assert sweep(ledger, window=3).publish == (("b", 2), ("b", 3))

    def test_a_paused_batchs_dead_pair_waits_for_the_resume(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        ledger.control("b", Control.PAUSE)
        clock.pass_seconds(700)
        assert sweep(ledger, empty=True).publish == ()
        assert counts(ledger, "b") == {"due": 2}
        ledger.control("b", Control.RESUME)
        assert sorted(sweep(ledger).publish) == [("b", 0), ("b", 1)]

    def test_a_cancelled_batchs_dead_pair_ends_as_cancelled(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        ledger.control("b", Control.CANCEL)
        clock.pass_seconds(31)
        swept = sweep(ledger, max_deaths=1)
        assert (swept.publish, swept.failed, swept.unreported) == ((), (), ("b",))
        assert counts(ledger, "b") == {"cancelled": 2}

    def test_one_sweep_does_bounded_work_and_the_batches_take_turns(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        for n in range(70):
            opened(ledger, 10, window=700, batch=f"b{n}")
        clock.pass_seconds(700)
        found = []
        for _ in range(4):
            clock.pass_seconds(1)
            swept = sweep(ledger)
            assert len(swept.publish) <= 256
            found += swept.publish
        assert len(set(found)) == len(found) == 700

    def test_a_dead_workers_pair_is_found_by_the_next_sweep_among_hundreds_of_batches(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        for n in range(400):
            opened(ledger, 1, batch=f"b{n}")
        take(ledger, "b399", 0)
        for n in range(200):
            ledger.control(f"b{n}", Control.PAUSE)
        clock.pass_seconds(31)
        assert sweep(ledger).publish == (("b399", 0),)

    def test_a_finished_batch_is_named_until_its_report_is_written(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 1)
        assert sweep(ledger).unreported == ()
        run(ledger, "b", 0)
        assert sweep(ledger).unreported == ("b",)
        assert sweep(ledger).unreported == ()
        clock.pass_seconds(30)
        assert sweep(ledger).unreported == ("b",)
        for _ in range(2):
            ledger.reported("b", ledger.status("b").finished_ms)
        clock.pass_seconds(30)
        assert sweep(ledger).unreported == ()

    def test_an_old_report_that_comes_after_the_new_one_is_written_over_again(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 1)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        old = ledger.status("b").finished_ms
        clock.pass_seconds(1)
        ledger.retry("b")
        ledger.reported("b", old)
        ledger.advance("b", min_window=1)
        run(ledger, "b", 0)
        ledger.reported("b", ledger.status("b").finished_ms)
        assert sweep(ledger).unreported == ()
        ledger.reported("b", old)
        assert sweep(ledger).unreported == ("b",)

    # failed → waiting

    def test_one_reporter_at_a_time_writes_a_missing_report(self, ledger: Ledger, clock: Clock) -> None:
        def reporting(reporter: str) -> bool:
            return ledger.reporting("b", reporter=reporter, ttl_seconds=30)

        opened(ledger, 1)
        assert not reporting("one")
        run(ledger, "b", 0)
        assert reporting("one")
        assert not reporting("two")
        clock.pass_seconds(29)
        assert sweep(ledger).unreported == ()
        assert reporting("one")
        clock.pass_seconds(29)
        assert not reporting("two")
        clock.pass_seconds(1)
        assert sweep(ledger).unreported == ("b",)
        assert reporting("two")
        assert not reporting("one")
        ledger.reported("b", ledger.status("b").finished_ms)
        assert not reporting("two")

    def test_a_retried_batch_is_reported_by_whoever_comes_first_at_its_new_end(self, ledger: Ledger) -> None:
        opened(ledger, 1)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        assert ledger.reporting("b", reporter="one", ttl_seconds=30)
        ledger.retry("b")
        assert not ledger.reporting("b", reporter="one", ttl_seconds=30)
        ledger.advance("b", min_window=1)
        run(ledger, "b", 0)
        assert ledger.reporting("b", reporter="two", ttl_seconds=30)

    def test_what_people_resume_or_prioritise_waits_for_no_turn_of_the_sweep(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        assert sweep(ledger, every=5).ran
        ledger.control("b", Control.PAUSE)
        assert not sweep(ledger, every=5).ran
        ledger.control("b", Control.RESUME)
        assert sweep(ledger, every=5).publish == (("b", 0), ("b", 1))
        assert not sweep(ledger, every=5).ran
        ledger.set_priority("b", 2)
        assert sweep(ledger, every=5).publish == (("b", 0), ("b", 1))

    def test_every_events_data_are_those_that_the_page_names(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 8, window=8)
        ledger.set_priority("b", 2)
        take(ledger, "b", 0)
        postpone(ledger, "b", 0, delay=5)
        run(ledger, "b", 1)
        take(ledger, "b", 2)
        fail(ledger, "b", 2)
        ledger.retry("b")
        take(ledger, "b", 3)
        clock.pass_seconds(31)
        sweep(ledger, max_deaths=1)
        ledger.control("b", Control.PAUSE)
        ledger.control("b", Control.RESUME)
        for pair in (4, 5, 6):
            take(ledger, "b", pair)
        ledger.control("b", Control.CANCEL)
        postpone(ledger, "b", 4)
        fail(ledger, "b", 5)
        clock.pass_seconds(31)
        sweep(ledger)
        told: dict[str, set[frozenset[str]]] = {}
        for event in ledger.events("b"):
            told.setdefault(event.type.value, set()).add(frozenset(event.data))
            for name, value in event.data.items():
                # A whole number is a number, and a truth is neither.
                kinds = {bool: ("boolean",), int: ("integer", "number"), float: ("number",), str: ("string",)}
                assert EVENT_FIELDS[name] in kinds[type(value)], (event.type, name, value)
        assert told == EVENT_DATA
        assert set(EVENT_FIELDS) == {name for each in told.values() for names in each for name in names}

    def test_failed_pairs_that_are_retried_come_before_those_whose_turn_has_never_been(
        self, ledger: Ledger
    ) -> None:
        opened(ledger, 20, window=12)
        for pair in (11, 2, 5):
            take(ledger, "b", pair)
            fail(ledger, "b", pair)
        assert ledger.retry("b") == 3
        assert ledger.retry("b") == 0
        assert counts(ledger, "b") == {"waiting": 11, "due": 9}
        assert list(ledger.failures("b")) == []
        assert refused(ledger, "b", 5) is Refusal.NOT_YET
        assert ledger.advance("b", min_window=11) == [2, 5]
        assert sweep(ledger, window=13).publish == (("b", 11), ("b", 12))

    def test_only_the_pairs_that_were_named_and_failed_are_retried(self, ledger: Ledger) -> None:
        opened(ledger, 6, window=6)
        run(ledger, "b", 0)
        for pair in (1, 2, 3):
            take(ledger, "b", pair)
            fail(ledger, "b", pair)
        take(ledger, "b", 4)
        assert ledger.retry("b", [3, 0, 1, 3, 4, 5, 6, -1]) == 2
        assert counts(ledger, "b") == {"waiting": 2, "due": 1, "running": 1, "done": 1, "failed": 1}
        assert [failure.pair for failure in ledger.failures("b")] == [2]
        assert ledger.retry("b", []) == 0

    def test_a_retried_pairs_attempts_and_deaths_start_anew(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 1)
        for death in range(2):
            take(ledger, "b", 0, f"l{death}")
            clock.pass_seconds(31)
            sweep(ledger, max_deaths=2)
        ledger.retry("b")
        assert sweep(ledger).publish == (("b", 0),)
        assert take(ledger, "b", 0) == Lease("b", 0, "mine", attempt=1, deaths=0)

    def test_a_finished_batch_is_active_again_when_it_is_retried_and_ends_once_more(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 2)
        run(ledger, "b", 0)
        take(ledger, "b", 1)
        assert fail(ledger, "b", 1) == LAST
        first_end = ledger.status("b").finished_ms
        assert ledger.retry("b", [1]) == 1
        status = ledger.status("b")
        assert (status.state, status.finished_ms, status.is_over) == (BatchState.ACTIVE, None, False)
        swept = sweep(ledger)
        assert (swept.publish, swept.unreported) == ((("b", 1),), ())
        clock.pass_seconds(1)
        take(ledger, "b", 1)
        assert finish(ledger, "b", 1) == LAST
        assert ledger.status("b").state is BatchState.DONE
        ledger.reported("b", first_end)
        assert sweep(ledger).unreported == ("b",)
        assert types(ledger.events("b"))[-6:] == [
            "pair.retried",
            "batch.retried",
            "batch.advanced",
            "pair.leased",
            "pair.done",
            "batch.finished",
        ]

    def test_a_late_finish_of_a_retried_pair_counts(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger, 1)
        take(ledger, "b", 0)
        clock.pass_seconds(31)
        sweep(ledger, max_deaths=1)
        ledger.retry("b")
        assert finish(ledger, "b", 0) == LAST
        assert counts(ledger, "b") == {"done": 1}
        assert ledger.advance("b", min_window=4) == []

    def test_a_cancelled_batch_stays_cancelled_when_it_is_retried(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        before = ledger.control("b", Control.CANCEL)
        assert ledger.retry("b") == 0
        assert ledger.status("b") == before

    def test_cancelling_counts_retried_pairs_that_wait(self, ledger: Ledger) -> None:
        opened(ledger, 2, window=1)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        ledger.retry("b")
        assert ledger.control("b", Control.CANCEL).is_over
        assert counts(ledger, "b") == {"cancelled": 2}

    def test_a_paused_batchs_retried_pairs_wait_for_the_resume(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        take(ledger, "b", 0)
        fail(ledger, "b", 0)
        ledger.control("b", Control.PAUSE)
        assert ledger.retry("b") == 1
        assert ledger.status("b").state is BatchState.PAUSED
        assert sweep(ledger).publish == ()
        ledger.control("b", Control.RESUME)
        assert sorted(sweep(ledger).publish) == [("b", 0), ("b", 1)]

    # priority

    def test_a_new_priority_sends_what_is_due_out_again_but_not_what_is_postponed(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 4, window=3)
        opened(ledger, 1, batch="c")
        take(ledger, "b", 0)
        postpone(ledger, "b", 0, delay=60)
        assert ledger.set_priority("b", 0).priority == 0
        assert ledger.status("b").priority == 0
        assert sweep(ledger, window=3).publish == (("b", 1), ("b", 2), ("b", 3))
        assert ledger.set_priority("b", 0).priority == 0
        assert sweep(ledger, window=3).publish == ()
        assert ledger.events("b")[3].data == {"reason": "store away", "delay_seconds": 60, "give_back": False}
        assert [(e.type, e.data) for e in ledger.events("b")[4:5]] == [
            (EventType.BATCH_PRIORITISED, {"priority": 0})
        ]

    def test_a_batch_that_is_over_keeps_its_priority(self, ledger: Ledger) -> None:
        opened(ledger, 1)
        run(ledger, "b", 0)
        assert ledger.set_priority("b", 0).priority == 5
        assert sweep(ledger).publish == ()

    @pytest.mark.parametrize("priority", [-1, 10])
    def test_there_is_no_priority_outside_0_to_9(self, ledger: Ledger, priority: int) -> None:
        opened(ledger)
        with pytest.raises(BadSettings, match=f"priority {priority} of batch 'b'"):
            ledger.set_priority("b", priority)

    # forget

    def test_a_batch_that_is_over_can_be_forgotten_and_no_other(self, ledger: Ledger, clock: Clock) -> None:
        ledger.open(BatchOpening("b", 2, "n", token="nightly"))
        opened(ledger, 1, batch="c")
        ledger.advance("b", min_window=2)
        take(ledger, "b", 0)
        ledger.control("b", Control.CANCEL)
        assert not ledger.forget("b")
        postpone(ledger, "b", 0)
        assert ledger.forget("b")
        assert ledger.forget("b")
        assert ledger.batches() == ["c"]
        assert ledger.events("b") == []
        assert sweep(ledger) == SweepResult(ran=True)
        with pytest.raises(NoSuchBatch):
            ledger.status("b")
        assert ledger.open(BatchOpening("d", 1, "n", token="nightly")).created
        assert ledger.forget("b")
        assert ledger.opened_by("nightly") == "d"

    def test_a_forgotten_batch_may_be_opened_again_and_has_done_nothing(self, ledger: Ledger) -> None:
        opened(ledger, 2)
        run(ledger, "b", 0, 1)
        ledger.forget("b")
        opened(ledger, 2, window=0)
        assert counts(ledger, "b") == {"waiting": 2}
        assert ledger.advance("b", min_window=2) == [0, 1]
        assert types(ledger.events("b")) == ["batch.opened", "batch.advanced"]

    def test_a_sweep_forgets_what_has_been_over_for_longer_than_is_kept(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        def swept(seconds: float | None) -> SweepResult:
            return ledger.sweep(
                every_seconds=0,
                republish_seconds=600,
                broker_is_empty=False,
                max_deaths=3,
                min_window=1,
                retention_seconds=seconds,
            )

        for batch in ("b", "c", "d"):
            opened(ledger, 1, batch=batch)
        run(ledger, "b", 0)
        take(ledger, "c", 0)
        fail(ledger, "c", 0)
        clock.pass_seconds(99)
        assert swept(100).forgotten == ()
        ledger.retry("c")
        clock.pass_seconds(1)
        assert swept(None).forgotten == ()
        assert swept(100).forgotten == ("b",)
        assert sorted(ledger.batches()) == ["c", "d"]

    # control

    def test_cancelling_counts_all_that_does_not_run_at_once(self, ledger: Ledger) -> None:
        opened(ledger, 1_000_000, window=4)
        run(ledger, "b", 0)
        take(ledger, "b", 1)
        fail(ledger, "b", 1)
        take(ledger, "b", 2)
        status = ledger.control("b", Control.CANCEL)
        assert status.state is BatchState.CANCELLED
        assert counts(ledger, "b") == {"running": 1, "done": 1, "failed": 1, "cancelled": 999_997}
        assert not status.is_over

    def test_a_pair_that_runs_while_its_batch_is_cancelled_may_still_be_done(self, ledger: Ledger) -> None:
        opened(ledger, 3)
        take(ledger, "b", 0)
        ledger.control("b", Control.CANCEL)
        assert finish(ledger, "b", 1) == NOT_COUNTED
        assert finish(ledger, "b", 0) == LAST
        assert counts(ledger, "b") == {"done": 1, "cancelled": 2}
        assert ledger.status("b").state is BatchState.CANCELLED

    def test_cancelling_a_batch_of_which_nothing_runs_ends_it(self, ledger: Ledger, clock: Clock) -> None:
        opened(ledger)
        status = ledger.control("b", Control.CANCEL)
        assert (status.is_over, status.finished_ms) == (True, clock.ms)
        assert sweep(ledger).unreported == ("b",)

    def test_a_batch_that_is_over_stays_as_it_is(self, ledger: Ledger) -> None:
        opened(ledger, 1)
        run(ledger, "b", 0)
        before = ledger.status("b")
        assert {ledger.control("b", action) for action in Control} == {before}
        opened(ledger, 1, batch="c")
        before = ledger.control("c", Control.CANCEL)
        assert {ledger.control("c", action) for action in Control} == {before}

    def test_resuming_publishes_what_was_due_and_goes_on(self, ledger: Ledger) -> None:
        opened(ledger, 6, window=3)
        take(ledger, "b", 0)
        take(ledger, "b", 1)
        ledger.control("b", Control.PAUSE)
        postpone(ledger, "b", 0, give_back=True)
        postpone(ledger, "b", 1, delay=60)
        assert sweep(ledger, empty=True).publish == ()
        assert ledger.control("b", Control.RESUME).state is BatchState.ACTIVE
        assert sweep(ledger, window=4).publish == (("b", 0), ("b", 2), ("b", 3), ("b", 4))

    def test_pairs_that_wait_out_a_backoff_do_not_stall_the_rest(self, ledger: Ledger) -> None:
        opened(ledger, 10, window=2)
        for pair in (0, 1):
            take(ledger, "b", pair)
            postpone(ledger, "b", pair, delay=600)
        assert ledger.advance("b", min_window=2) == [2, 3]

    def test_a_fault_that_strikes_every_pair_does_not_walk_through_them_all(self, ledger: Ledger) -> None:
        opened(ledger, 500, window=2)
        pairs = [0, 1]
        struck = 0
        while pairs:
            for pair in pairs:
                take(ledger, "b", pair)
                postpone(ledger, "b", pair, delay=600)
            struck += len(pairs)
            pairs = ledger.advance("b", min_window=2)
        assert struck == 66

    def test_a_resumed_batch_is_swept_before_the_others(self, ledger: Ledger, clock: Clock) -> None:
        for batch in ("a", "b"):
            opened(ledger, 2, batch=batch)
        sweep(ledger)
        ledger.control("b", Control.PAUSE)
        ledger.control("b", Control.RESUME)
        clock.pass_seconds(600)
        assert [batch for batch, _ in sweep(ledger).publish] == ["b", "b", "a", "a"]

    def test_a_running_pair_of_a_paused_batch_may_finish(self, ledger: Ledger) -> None:
        opened(ledger, 1)
        take(ledger, "b", 0)
        ledger.control("b", Control.PAUSE)
        assert finish(ledger, "b", 0) == LAST
        assert ledger.status("b").state is BatchState.DONE

    def test_commands_on_an_unknown_batch_name_it(self, ledger: Ledger) -> None:
        for ask in (
            lambda: ledger.status("nowhere"),
            lambda: ledger.control("nowhere", Control.PAUSE),
            lambda: ledger.failures("nowhere"),
            lambda: ledger.retry("nowhere"),
            lambda: ledger.retry("nowhere", [1]),
            lambda: ledger.set_priority("nowhere", 1),
            lambda: ledger.done_pairs("nowhere"),
        ):
            with pytest.raises(NoSuchBatch, match=r"'nowhere'.*impasto recover"):
                ask()
        assert ledger.events("nowhere") == []
        assert ledger.running("nowhere") == []

    # what people see

    def test_the_eta_is_the_mean_busy_time_of_what_is_to_come_over_the_workers(self, ledger: Ledger) -> None:
        opened(ledger, 11, window=11)
        assert ledger.status("b").eta_seconds is None
        take(ledger, "b", 0)
        finish(ledger, "b", 0, busy=2)
        take(ledger, "b", 1)
        finish(ledger, "b", 1, busy=4)
        finish(ledger, "b", 2, busy=0)
        status = ledger.status("b")
        assert (status.busy_seconds, status.workers, status.eta_seconds) == (6.0, 0, 24.0)
        for worker in ("w1", "w2"):
            ledger.beat(worker, {}, ttl_seconds=60)
        assert ledger.status("b").eta_seconds == 12.0
        ledger.control("b", Control.CANCEL)
        assert ledger.status("b").eta_seconds == 0.0

    def test_events_tell_each_change_in_order_and_go_on_after_any_of_them(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        opened(ledger, 3)
        take(ledger, "b", 0)
        renew(ledger, "b", 0, step=1)
        finish(ledger, "b", 0)
        take(ledger, "b", 1)
        postpone(ledger, "b", 1, delay=5)
        ledger.control("b", Control.PAUSE)
        ledger.control("b", Control.RESUME)
        take(ledger, "b", 2, ttl=1)
        clock.pass_seconds(1)
        sweep(ledger, max_deaths=1)
        ledger.control("b", Control.CANCEL)
        events = ledger.events("b")
        assert types(events) == [
            "batch.opened",
            "batch.advanced",
            "pair.leased",
            "pair.done",
            "pair.leased",
            "pair.postponed",
            "batch.paused",
            "batch.resumed",
            "pair.leased",
            "pair.expired",
            "pair.failed",
            "batch.cancelled",
            "batch.finished",
        ]
        assert [e.pair for e in events] == [None, None, 0, 0, 1, 1, None, None, 2, 2, 2, None, None]
        assert events[-1].at_ms == clock.ms
        assert events[-1].data == {"state": "cancelled", "done": 1, "failed": 1, "cancelled": 1}
        for n, event in enumerate(events):
            assert ledger.events("b", after=event.id) == events[n + 1 :]
        assert ledger.events("b", after="no id") == events

    def test_repeated_commands_tell_no_event_twice(self, ledger: Ledger) -> None:
        opened(ledger, 1)
        for _ in range(2):
            ledger.control("b", Control.PAUSE)
        for _ in range(2):
            ledger.control("b", Control.RESUME)
        for _ in range(2):
            ledger.lease("b", 0, worker="w", lease_id="mine", ttl_seconds=30)
        for _ in range(2):
            finish(ledger, "b", 0)
        assert types(ledger.events("b"))[2:] == [
            "batch.paused",
            "batch.resumed",
            "pair.leased",
            "pair.done",
            "batch.finished",
        ]

    def test_a_reader_that_waits_gets_the_next_event_when_it_comes(self, ledger: Ledger) -> None:
        opened(ledger)
        last = ledger.events("b")[-1].id
        got: list[Event] = []
        reader = threading.Thread(target=lambda: got.extend(ledger.events("b", after=last, block_seconds=30)))
        reader.start()
        time.sleep(0.05)
        ledger.control("b", Control.PAUSE)
        reader.join(timeout=20)
        assert [event.type for event in got] == [EventType.BATCH_PAUSED]

    def test_a_reader_that_waits_in_vain_gets_nothing(self, ledger: Ledger) -> None:
        opened(ledger)
        last = ledger.events("b")[-1].id
        assert ledger.events("b", after=last, block_seconds=0.05) == []

    def test_a_worker_lives_until_it_leaves_or_falls_silent(self, ledger: Ledger, clock: Clock) -> None:
        ledger.beat("w1", {"device": "cuda:0"}, ttl_seconds=10)
        ledger.beat("w2", {}, ttl_seconds=20)
        ledger.beat("w3", {}, ttl_seconds=30)
        (first, *_) = ledger.workers()
        assert (first.worker, first.seen_ms, first.info) == ("w1", clock.ms, {"device": "cuda:0"})
        clock.pass_seconds(10)
        ledger.leave("w3")
        ledger.leave("w3")
        assert [each.worker for each in ledger.workers()] == ["w2"]

    def test_buried_messages_are_kept_once_each_newest_first(self, ledger: Ledger, clock: Clock) -> None:
        ledger.bury("{'no': json}", "no JSON")
        clock.pass_seconds(1)
        ledger.bury("\udcff" * 20_000, "no JSON either")
        clock.pass_seconds(1)
        ledger.bury("{'no': json}", "no JSON")
        letters = ledger.dead_letters()
        assert [(each.at_ms, each.reason) for each in letters] == [
            (clock.ms, "no JSON"),
            (clock.ms - 1000, "no JSON either"),
        ]
        assert [each.raw for each in letters] == ["{'no': json}", "\udcff" * 16_384]

    def test_buried_messages_are_forgotten_up_to_a_time_and_later_ones_stay(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        assert ledger.forget_dead_letters(clock.ms) == 0
        for raw in ("first", "seen again", "second"):
            ledger.bury(raw, "no JSON")
            clock.pass_seconds(1)
        seen_ms = ledger.dead_letters()[0].at_ms
        ledger.bury("seen again", "no JSON")
        ledger.bury("third", "no JSON")
        assert ledger.forget_dead_letters(seen_ms) == 2
        assert {each.raw for each in ledger.dead_letters()} == {"seen again", "third"}
        assert ledger.forget_dead_letters(clock.ms) == 2
        assert ledger.dead_letters() == []

    def test_the_oldest_buried_messages_go_first(self, ledger: Ledger, clock: Clock) -> None:
        for n in range(1_003):
            clock.pass_seconds(1)
            ledger.bury(f"message {n}", "unreadable")
        letters = ledger.dead_letters()
        assert len(letters) == 1_000
        assert (letters[0].raw, letters[-1].raw) == ("message 1002", "message 3")

    def test_the_ledger_answers_a_ping(self, ledger: Ledger) -> None:
        assert ledger.ping() is None  # type: ignore[func-returns-value]
