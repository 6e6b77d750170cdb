"""Batches of one priority advance together, reckoned with pairs that all take one unit of time."""

from __future__ import annotations

import math
from collections import deque

import pytest

from impasto.shared.ledger import BatchOpening
from impasto.shared.ledger.memory import MemoryLedger

IN_HAND = 3  # a worker computes one, has fetched the next and puts the last


class Shop:
    """Workers that take messages in the order in which they were sent, a pair a turn each."""

    def __init__(self, workers: int) -> None:
        self.turn = 0
        self.ledger = MemoryLedger(clock=lambda: 1_000 * self.turn)
        self.queue: deque[tuple[str, int]] = deque()
        self.hands: list[deque[tuple[str, int]]] = [deque() for _ in range(workers)]
        self.done: list[list[str]] = []
        for n in range(workers):
            self.ledger.beat(f"w{n}", {}, ttl_seconds=1e6)

    def open(self, batch: str, total: int) -> None:
        self.ledger.open(BatchOpening(batch, total, batch))
        self.publish(batch)

    def publish(self, batch: str) -> None:
        self.queue.extend((batch, pair) for pair in self.ledger.advance(batch, min_window=4))

    def work(self, turns: int) -> None:
        for _ in range(turns):
            self.turn += 1
            self.done.append([])
            for hand in self.hands:
                while self.queue and len(hand) < IN_HAND:
                    batch, pair = self.queue.popleft()
                    lease_id = f"{batch}-{pair}"
                    self.ledger.lease(batch, pair, worker="w0", lease_id=lease_id, ttl_seconds=1e6)
                    hand.append((batch, pair))
            for hand in self.hands:
                if hand:
                    batch, pair = hand.popleft()
                    assert self.ledger.finish(batch, pair, lease_id=f"{batch}-{pair}", busy_seconds=1).counted
                    self.done[-1].append(batch)
                    self.publish(batch)

    def shares(self, batches: list[str], since: int) -> list[int]:
        ended = [batch for turn in self.done[since:] for batch in turn]
        return [ended.count(batch) for batch in batches]


@pytest.mark.parametrize("workers", [1, 3, 16])
@pytest.mark.parametrize("batches", [2, 3, 7])
def test_in_any_twenty_turns_no_batch_is_ahead_by_more_than_its_window(workers: int, batches: int) -> None:
    shop = Shop(workers)
    names = [f"b{n}" for n in range(batches)]
    for name in names:
        shop.open(name, 100_000)
        shop.work(5)
    for start in range(7):
        shop.work(20 + start)
        shares = shop.shares(names, since=len(shop.done) - 20)
        assert max(shares) - min(shares) <= max(2, math.ceil(4 * workers / batches)), shares


@pytest.mark.parametrize(("workers", "batches"), [(1, 1), (1, 20), (4, 20), (16, 20)])
def test_a_small_batch_waits_for_a_few_pairs_however_large_and_many_the_others_are(
    workers: int, batches: int
) -> None:
    shop = Shop(workers)
    for n in range(batches):
        shop.open(f"b{n}", 100_000)
        shop.work(1)
    shop.work(100)
    shop.open("small", 1)
    waited = next(turns for turns in range(1, 1000) if shop.work(1) or "small" in shop.done[-1])
    assert waited <= max(4 + IN_HAND, batches / workers + IN_HAND), waited


@pytest.mark.parametrize("batches", [1, 2, 9])
def test_no_worker_idles_while_pairs_wait_whatever_number_of_batches_shares(batches: int) -> None:
    shop = Shop(4)
    for n in range(batches):
        shop.open(f"b{n}", 130 * (n + 1))
    shop.work(30)
    assert {len(turn) for turn in shop.done} == {4}
