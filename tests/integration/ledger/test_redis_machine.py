from __future__ import annotations

import uuid

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from impasto.shared.ledger import Ledger
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from ledger_contract import Clock
from ledger_machine import LedgerMachine
from servers import RedisServer


def test_the_scripts_answer_as_the_ledger_in_memory_whatever_happens(redis_server: RedisServer) -> None:
    client = connect(redis_server.url)

    class Both(LedgerMachine):
        def make_ledgers(self, clock: Clock) -> list[Ledger]:
            namespace = f"machine-{uuid.uuid4().hex[:12]}"
            return [RedisLedger(client, namespace=namespace, clock=clock), MemoryLedger(clock=clock)]

    with client:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Both,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
