"""A worker's part, done by hand: what a test needs settled is settled, and no network is loaded."""

from __future__ import annotations

from impasto.producer import Client
from impasto.shared.ledger import Failure, Lease


def lease(client: Client, batch: str, pair: int) -> Lease:
    """The pair is running, at half its steps."""
    ledger = client.connection.ledger
    lease = ledger.lease(batch, pair, worker="hands", lease_id=f"{batch}/{pair}", ttl_seconds=600)
    assert isinstance(lease, Lease)
    progress = {"step": 5, "steps": 10, "loss": 0.25}
    ledger.renew(batch, pair, lease_id=lease.lease_id, ttl_seconds=600, progress=progress)
    return lease


def finish(client: Client, batch: str, pair: int) -> None:
    ledger = client.connection.ledger
    ledger.finish(batch, pair, lease_id=lease(client, batch, pair).lease_id, busy_seconds=2.0)
    ledger.advance(batch, min_window=4)


def fail(client: Client, batch: str, pair: int) -> None:
    job = client.pair(batch, pair)
    failure = Failure(pair, "bad_picture", "it is damaged", 1, job.content.name, job.style.name, 0)
    ledger = client.connection.ledger
    ledger.fail(batch, pair, lease_id=lease(client, batch, pair).lease_id, failure=failure)
    ledger.advance(batch, min_window=4)
