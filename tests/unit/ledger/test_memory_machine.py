from __future__ import annotations

from hypothesis import settings

from impasto.shared.ledger import Ledger
from impasto.shared.ledger.memory import MemoryLedger
from ledger_contract import Clock
from ledger_machine import LedgerMachine


class _Memory(LedgerMachine):
    def make_ledgers(self, clock: Clock) -> list[Ledger]:
        return [MemoryLedger(clock=clock)]


TestWhateverHappens = _Memory.TestCase
TestWhateverHappens.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
