"""What failed gets another life, in the ledger and in what a recovery would make of the store."""

from __future__ import annotations

from collections.abc import Iterable

from impasto.producer.connection import Connection
from impasto.producer.outcome import mark_retried
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from impasto.shared.ledger import BatchState


def retry(connection: Connection, batch: str, pairs: Iterable[int] | None = None) -> int:
    """Try failed pairs again, all or these; how many of them had failed. `batch` is a whole id.

    Raises NoSuchBatch, and BadSettings for a batch that was cancelled.
    """
    ledger, store = connection.ledger, connection.store
    wanted = None if pairs is None else set(pairs)
    status = ledger.status(batch)
    goes_on = status.state is BatchState.FAILED and (
        wanted is None or any(failure.pair in wanted for failure in ledger.failures(batch))
    )
    if goes_on and status.finished_ms is not None:
        # First: whoever has to rebuild an emptied ledger may do too much, and never too little.
        mark_retried(store, batch, status.finished_ms)
        store.delete(layout.purged_key(batch))
    retried = ledger.retry(batch, wanted)
    if not retried and ledger.status(batch).state is BatchState.CANCELLED:
        raise BadSettings(f"batch {batch} was cancelled: submit it anew")
    connection.dispatcher.advance(batch)
    return retried
