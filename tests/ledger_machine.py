"""Random lives of batches, told to several ledgers at once: equal answers, and what always holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from impasto.shared.ledger import (
    BatchOpening,
    BatchState,
    Control,
    Lease,
    Ledger,
    Refusal,
    RenewAnswer,
)
from ledger_contract import Clock, failure_of

PAIRS = st.integers(0, 5)
WORKERS = st.sampled_from(["w0", "w1"])
DELAYS = st.sampled_from([0.0, 5.0, 40.0])


class LedgerMachine(RuleBasedStateMachine):
    """Subclasses say which ledgers; the first one's answers are held against the others'.

    What is counted is also kept here, pair by pair, from the answers alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ledgers = self.make_ledgers(self.clock)
        self.batches: list[str] = []
        self.leases: list[Lease] = []
        self.done: dict[str, set[int]] = {}
        self.failed: dict[str, set[int]] = {}
        self.ends: dict[str, int] = {}
        self.opened = self.given = 0

    @abstractmethod
    def make_ledgers(self, clock: Clock) -> list[Ledger]: ...

    def ask(self, method: str, *args: Any, **named: Any) -> Any:
        """The answer that all ledgers agree on."""

        def answer(ledger: Ledger) -> Any:
            got = getattr(ledger, method)(*args, **named)
            return list(got) if isinstance(got, Iterator) else got

        first, *others = (answer(ledger) for ledger in self.ledgers)
        for other in others:
            assert other == first, method
        return first

    def count(self, batch: str, pair: int, outcome: dict[str, set[int]]) -> None:
        assert pair not in self.done[batch] | self.failed[batch], "counted twice"
        outcome[batch].add(pair)

    def a_batch(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.batches), "batch")

    def a_lease(self, data: st.DataObject) -> Lease:
        return data.draw(st.sampled_from(self.leases), "lease")

    @precondition(lambda self: len(self.batches) < 3)
    @rule(total=st.integers(1, 5), token=st.sampled_from([None, None, "token"]))
    def open(self, total: int, token: str | None) -> None:
        opening = BatchOpening(f"b{self.opened}", total, "a batch", token=token)
        opened = self.ask("open", opening)
        if opened.created:
            self.opened += 1
            self.batches.append(opening.batch)
            self.ends[opening.batch] = 1
            self.done[opening.batch], self.failed[opening.batch] = set(), set()
        assert not self.ask("open", opening).created
        assert opened.batch in self.batches

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), window=st.integers(1, 4))
    def advance(self, data: st.DataObject, window: int) -> None:
        batch = self.a_batch(data)
        due = self.ask("advance", batch, min_window=window)
        assert self.ask("advance", batch, min_window=window) == []
        assert not set(due) & (self.done[batch] | self.failed[batch])

    @precondition(lambda self: self.batches)
    @rule(
        data=st.data(),
        pair=PAIRS,
        worker=WORKERS,
        ttl=st.sampled_from([10.0, 100.0]),
        computing=st.booleans(),
    )
    def lease(self, data: st.DataObject, pair: int, worker: str, ttl: float, computing: bool) -> None:
        batch = self.a_batch(data)
        before = self.ask("status", batch)
        ask = {
            "worker": worker,
            "lease_id": f"l{self.given}",
            "ttl_seconds": ttl,
            "computing": computing,
        }
        answer = self.ask("lease", batch, pair, **ask)
        if isinstance(answer, Lease):
            assert before.state is BatchState.ACTIVE
            assert pair not in self.done[batch] | self.failed[batch]
            self.leases.append(answer)
            self.given += 1
        elif pair in self.done[batch] | self.failed[batch]:
            assert answer is Refusal.SETTLED
        self.must_change_nothing(batch, "lease", pair, answer, **ask)

    def must_change_nothing(self, batch: str, method: str, pair: int, answer: Any, **named: Any) -> None:
        before = self.ask("status", batch)
        assert self.ask(method, batch, pair, **named) == answer
        assert self.ask("status", batch) == before

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), computing=st.booleans())
    def renew(self, data: st.DataObject, computing: bool) -> None:
        held = self.a_lease(data)
        ask = {
            "lease_id": held.lease_id,
            "ttl_seconds": 10.0,
            "progress": {"content": "c", "step": 1},
            "computing": computing,
        }
        answer = self.ask("renew", held.batch, held.pair, **ask)
        if held.pair in self.done[held.batch] | self.failed[held.batch]:
            assert answer is RenewAnswer.LOST
        self.must_change_nothing(held.batch, "renew", held.pair, answer, **ask)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), busy=st.sampled_from([0.0, 1.5]))
    def finish(self, data: st.DataObject, busy: float) -> None:
        held = self.a_lease(data)
        ask = {"lease_id": held.lease_id, "busy_seconds": busy}
        answer = self.ask("finish", held.batch, held.pair, **ask)
        if answer.counted:
            self.count(held.batch, held.pair, self.done)
        assert answer.batch_finished == (answer.counted and self.ask("status", held.batch).is_over)
        before = self.ask("status", held.batch)
        assert not self.ask("finish", held.batch, held.pair, **ask).counted
        assert self.ask("status", held.batch) == before

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), delay=DELAYS, give_back=st.booleans())
    def postpone(self, data: st.DataObject, delay: float, give_back: bool) -> None:
        held = self.a_lease(data)
        ask = {
            "lease_id": held.lease_id,
            "delay_seconds": delay,
            "give_back": give_back,
            "reason": "store away",
        }
        self.ask("postpone", held.batch, held.pair, **ask)
        self.must_change_nothing(held.batch, "postpone", held.pair, False, **ask)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        held = self.a_lease(data)
        cancelled = self.ask("status", held.batch).state is BatchState.CANCELLED
        ask = {"lease_id": held.lease_id, "failure": failure_of(held.pair)}
        if self.ask("fail", held.batch, held.pair, **ask).counted and not cancelled:
            self.count(held.batch, held.pair, self.failed)
        before = self.ask("status", held.batch)
        assert not self.ask("fail", held.batch, held.pair, **ask).counted
        assert self.ask("status", held.batch) == before

    @rule(every=st.sampled_from([0.0, 5.0]), empty=st.booleans(), window=st.integers(1, 3))
    def sweep(self, every: float, empty: bool, window: int) -> None:
        self.sweep_once(every, empty, window)

    def sweep_once(self, every: float, empty: bool, window: int) -> Any:
        swept = self.ask(
            "sweep",
            every_seconds=every,
            republish_seconds=600.0,
            broker_is_empty=empty,
            max_deaths=2,
            min_window=window,
            lease_seconds=100.0,
            delay_seconds=40.0,
        )
        for batch, pair in swept.failed:
            self.count(batch, pair, self.failed)
        for batch, pair in swept.publish:
            assert pair not in self.done[batch] | self.failed[batch]
            assert self.ask("status", batch).state is BatchState.ACTIVE
        return swept

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), action=st.sampled_from(Control))
    def control(self, data: st.DataObject, action: Control) -> None:
        batch = self.a_batch(data)
        before = self.ask("status", batch)
        after = self.ask("control", batch, action)
        assert self.ask("control", batch, action) == after
        if before.state.is_final:
            assert after == before

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0, 50.0, -400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_seconds(seconds)

    @rule(worker=WORKERS, leaves=st.booleans())
    def worker_lives(self, worker: str, leaves: bool) -> None:
        self.ask("beat", worker, {"device": "cpu"}, ttl_seconds=20.0)
        if leaves:
            self.ask("leave", worker)
        self.ask("workers")

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), pairs=st.none() | st.lists(PAIRS, max_size=4))
    def retry(self, data: st.DataObject, pairs: list[int] | None) -> None:
        batch = self.a_batch(data)
        before = self.ask("status", batch)
        wanted = self.failed[batch] if pairs is None else self.failed[batch] & set(pairs)
        expected = set() if before.state is BatchState.CANCELLED else set(wanted)
        assert self.ask("retry", batch, pairs) == len(expected)
        assert self.ask("retry", batch, pairs) == 0
        self.failed[batch] -= expected
        self.ends[batch] += bool(expected) and before.is_over
        after = self.ask("status", batch)
        assert after.waiting == before.waiting + len(expected)
        assert after.is_over == (before.is_over and not expected)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), priority=st.integers(0, 9))
    def prioritise(self, data: st.DataObject, priority: int) -> None:
        batch = self.a_batch(data)
        before = self.ask("status", batch)
        after = self.ask("set_priority", batch, priority)
        assert self.ask("set_priority", batch, priority) == after
        assert after.priority == (before.priority if before.state.is_final else priority)
        assert after.counts() == before.counts()

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        batch = self.a_batch(data)
        over = self.ask("status", batch).is_over
        assert self.ask("forget", batch) == over
        if over:
            assert self.ask("forget", batch)
            assert self.ask("events", batch) == []
            self.batches.remove(batch)
            self.leases = [lease for lease in self.leases if lease.batch != batch]

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), pairs=st.lists(PAIRS, max_size=3))
    def unpublished(self, data: st.DataObject, pairs: list[int]) -> None:
        batch = self.a_batch(data)
        before = self.ask("status", batch)
        self.ask("unpublished", batch, pairs)
        assert self.ask("status", batch) == before

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), late=st.booleans())
    def report(self, data: st.DataObject, late: bool) -> None:
        batch = self.a_batch(data)
        finished_ms = self.ask("status", batch).finished_ms
        self.ask("reported", batch, finished_ms - 1 if late and finished_ms else finished_ms)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), reporter=WORKERS)
    def reporting(self, data: st.DataObject, reporter: str) -> None:
        batch = self.a_batch(data)
        mine = self.ask("reporting", batch, reporter=reporter, ttl_seconds=10.0)
        assert self.ask("status", batch).is_over or not mine
        assert self.ask("reporting", batch, reporter=reporter, ttl_seconds=10.0) == mine
        if mine:
            assert not self.ask("reporting", batch, reporter="another", ttl_seconds=10.0)

    @invariant()
    def counts_agree(self) -> None:
        for batch in self.batches:
            status = self.ask("status", batch)
            counts = status.counts()
            assert min(counts.values()) >= 0
            assert counts.pop("total") == sum(counts.values())
            assert set(self.ask("done_pairs", batch)) == self.done[batch]
            assert status.done == len(self.done[batch])
            failures = sorted((list(ledger.failures(batch)) for ledger in self.ledgers), key=len)
            for kept in failures:
                assert sorted(kept, key=lambda f: f.pair) == sorted(failures[0], key=lambda f: f.pair)
                assert {failure.pair for failure in kept} == self.failed[batch]
            assert status.failed == len(self.failed[batch])
            assert status.is_over == (status.finished_ms is not None)
            assert len(self.ask("running", batch)) == status.running

    def teardown(self) -> None:
        """Every worker is gone and every message lost; sweeping and running what it names ends every pair."""
        for batch in self.batches:
            self.ask("control", batch, Control.RESUME)
        for _ in range(20):
            if all(self.ask("status", batch).is_over for batch in self.batches):
                break
            self.clock.pass_seconds(700)
            published = []
            # After such a silence three turns leave leases alone.
            for _ in range(4):
                swept = self.sweep_once(5.0, False, 2)
                assert swept.ran
                published += swept.publish
                self.clock.pass_seconds(5)
            for n, (batch, pair) in enumerate(published):
                ask = {"worker": "last", "lease_id": f"last{self.clock()}-{n}", "ttl_seconds": 10.0}
                assert isinstance(self.ask("lease", batch, pair, **ask), Lease)
                if self.ask("finish", batch, pair, lease_id=ask["lease_id"], busy_seconds=1.0).counted:
                    self.count(batch, pair, self.done)
        for batch in self.batches:
            self.counts_agree()
            assert self.ask("status", batch).is_over
            told = [
                [(e.type, e.pair, e.at_ms, e.data) for e in ledger.events(batch)] for ledger in self.ledgers
            ]
            assert all(each == told[0] for each in told)
            assert [kind for kind, *_ in told[0]].count("batch.finished") == self.ends[batch]
