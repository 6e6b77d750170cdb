"""Whether a store is the one that the ledger's batches lie in, before anyone works on them."""

from __future__ import annotations

from impasto.shared.errors import StoreRefused, StoreUnavailable
from impasto.shared.ledger import Ledger
from impasto.shared.store.interface import ObjectStore


def require_home(store: ObjectStore, ledger: Ledger) -> None:
    """Raises StoreUnavailable when the store has nothing at all while batches are under way.

    A disk that was not mounted at start looks like that, and each of their pairs would fail for want of its
    inputs. Asks the ledger only where the store is empty.
    """
    try:
        # What a check that was cut short left is no sign of a batch.
        if any(not found.key.startswith("checks/") for found in store.list("")):
            return
    except StoreRefused:
        # Whoever may not list can still work.
        return
    for batch in ledger.batches():
        if not ledger.status(batch).is_over:
            raise StoreUnavailable(
                f"the store {store.url} is empty, and batch {batch} is under way: is its disk mounted, and "
                f"is IMPASTO_STORE_URL right? If it is gone for good, `impasto cancel {batch}`"
            )
