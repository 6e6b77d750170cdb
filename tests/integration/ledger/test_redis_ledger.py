from __future__ import annotations

from collections.abc import Iterator

import pytest

from impasto.shared.ledger import Ledger
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from ledger_contract import Clock, LedgerContract
from servers import RedisServer


class TestRedisLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, redis_server: RedisServer, namespace: str, clock: Clock) -> Iterator[Ledger]:
        with connect(redis_server.url) as client:
            yield RedisLedger(client, namespace=namespace, clock=clock)
