from __future__ import annotations

import uuid

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from impasto.producer.webhooks.outbox import waiting_entries
from impasto.shared.ledger import EventType, Ledger
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from ledger_contract import Clock
from ledger_machine import LedgerMachine
from servers import RedisServer

WANTED = (EventType.PAIR_DONE, EventType.PAIR_FAILED, EventType.BATCH_FINISHED)


def test_the_scripts_answer_as_the_ledger_in_memory_whatever_happens(redis_server: RedisServer) -> None:
    client = connect(redis_server.url)

    class Both(LedgerMachine):
        def make_ledgers(self, clock: Clock) -> list[Ledger]:
            self.namespace = f"machine-{uuid.uuid4().hex[:12]}"
            client.hset(Keys(self.namespace).shared("wanted"), mapping=dict.fromkeys(WANTED, 0))
            return [RedisLedger(client, namespace=self.namespace, clock=clock), MemoryLedger(clock=clock)]

        def teardown(self) -> None:
            """Of batches that are still there, the outbox has what their streams have of the wanted types."""
            super().teardown()
            outbox = [*waiting_entries(client, Keys(self.namespace))]
            for batch in self.batches:
                told = self.ledgers[0].events(batch)
                assert [(e.type, e.pair, e.at_ms, e.data) for e in told if e.type in WANTED] == [
                    (e.type, e.pair, e.at_ms, e.data) for e in outbox if e.batch == batch
                ]

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
