from __future__ import annotations

import pytest

from impasto.shared.errors import StoreUnavailable
from impasto.shared.ledger import BatchOpening, Control
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.home import require_home


def test_an_empty_store_is_home_only_while_no_batch_is_under_way(store: FolderStore) -> None:
    ledger = MemoryLedger()
    store.check()
    require_home(store, ledger)
    for batch in ("over", "under-way"):
        ledger.open(BatchOpening(batch, 1, batch))
    ledger.control("over", Control.CANCEL)
    with pytest.raises(StoreUnavailable, match=r"file://.* is empty, and batch under-way .*disk mounted"):
        require_home(store, ledger)
    store.put("inputs/one.png", b"", content_type="image/png")
    require_home(store, ledger)


def test_a_batch_that_was_cancelled_keeps_no_worker_from_an_empty_store(store: FolderStore) -> None:
    ledger = MemoryLedger()
    ledger.open(BatchOpening("b", 1, "b"))
    ledger.control("b", Control.CANCEL)
    require_home(store, ledger)
