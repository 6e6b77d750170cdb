from __future__ import annotations

import pytest

from impasto.shared.ledger import Ledger
from impasto.shared.ledger.memory import MemoryLedger
from ledger_contract import Clock, LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, clock: Clock) -> Ledger:
        return MemoryLedger(clock=clock)
