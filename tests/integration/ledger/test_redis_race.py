from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from impasto.shared.ledger import Lease
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from ledger_contract import finish, opened
from servers import RedisServer

PAIRS = 120
WORKERS = 4


def test_workers_that_race_for_every_pair_lease_and_count_each_once(
    redis_server: RedisServer, namespace: str
) -> None:
    """Every worker tries every pair, as if each message had been delivered to all of them."""

    def work(worker: int) -> tuple[list[int], int]:
        with connect(redis_server.url) as client:
            ledger = RedisLedger(client, namespace=namespace)
            leased, closed = [], 0
            for pair in range(PAIRS):
                name = f"w{worker}"
                if isinstance(
                    ledger.lease("b", pair, worker=name, lease_id=f"{name}-{pair}", ttl_seconds=600), Lease
                ):
                    leased.append(pair)
                    closed += finish(ledger, "b", pair).batch_finished
            return leased, closed

    with connect(redis_server.url) as client:
        ledger = RedisLedger(client, namespace=namespace)
        opened(ledger, PAIRS, window=PAIRS)
        with ThreadPoolExecutor(WORKERS) as pool:
            worked = list(pool.map(work, range(WORKERS)))
        assert sorted(pair for leased, _ in worked for pair in leased) == list(range(PAIRS))
        assert sum(closed for _, closed in worked) == 1
        assert ledger.status("b").done == PAIRS
