"""The names of all the ledger's keys in Redis, and the order in which scripts take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BATCH_KEYS: Final = (
    "meta",
    "again",
    "due",
    "backoff",
    "leases",
    "holders",
    "runners",
    "progress",
    "attempts",
    "deaths",
    "beside",
    "suspects",
    "done",
    "failures",
    "events",
)
"""A batch's own keys; `scripts/_batch.lua` says what each holds."""

SHARED_KEYS: Final = ("active", "unreported", "over", "workers", "wanted", "outbox", "ready")
"""Keys of the whole ledger that every script on a batch takes after the batch's own."""


WEBHOOK_KEYS: Final = ("due", "delivered", "dead", "messages", "attempts", "outcomes", "health")
"""A webhook's own keys; the producer's `webhooks/lua/_keys.lua` says what each holds."""


@dataclass(frozen=True)
class Keys:
    """Keys of one ledger. They share a hash tag, so a script may touch any of them on any kind of Redis."""

    namespace: str

    def shared(self, name: str) -> str:
        """A key of the whole ledger: active, unreported, over, workers, worker_info, batches, …"""
        return f"{{{self.namespace}}}:{name}"

    def token(self, token: str) -> str:
        return f"{{{self.namespace}}}:token:{token}"

    def of_batch(self, batch: str, name: str) -> str:
        return f"{{{self.namespace}}}:batch:{batch}:{name}"

    def of_webhook(self, webhook: str) -> list[str]:
        """All keys of a webhook's deliveries, in the order of `WEBHOOK_KEYS`."""
        return [f"{{{self.namespace}}}:webhook:{webhook}:{name}" for name in WEBHOOK_KEYS]

    def for_scripts(self, batch: str) -> list[str]:
        """All keys that a script on this batch takes, in the order of `scripts/_batch.lua`."""
        return [self.of_batch(batch, name) for name in BATCH_KEYS] + [
            self.shared(name) for name in SHARED_KEYS
        ]
