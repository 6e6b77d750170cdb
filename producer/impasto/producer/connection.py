"""From a `Deployment` to the things that talk: Redis, the ledger, the store, the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import redis
from celery import Celery

from impasto.producer.local.runfile import check_same_store, locate
from impasto.shared.batches import BatchFiles
from impasto.shared.celery_app import make_app
from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import NotRunning
from impasto.shared.ledger import Ledger
from impasto.shared.ledger.redis_ledger import BLOCK_SECONDS, RedisLedger, connect
from impasto.shared.store import ObjectStore
from impasto.shared.store.open import open_deployment_store

_TIMEOUT_SECONDS: Final = 2 * BLOCK_SECONDS
"""Shorter than a worker's, and the only try: people wait to hear of a server that hangs."""


@dataclass(frozen=True)
class Connection:
    """All that a client needs, wired up. Safe to share between threads."""

    deployment: Deployment
    redis: redis.Redis
    app: Celery
    ledger: Ledger
    store: ObjectStore
    batches: BatchFiles
    dispatcher: Dispatcher

    def check(self) -> None:
        """Prove that Redis answers and that the store takes objects.

        Raises LedgerUnavailable, StoreUnavailable or StoreRefused.
        """
        self.ledger.ping()
        self.store.check()

    def close(self) -> None:
        self.app.close()
        self.redis.close()


def connect_to(deployment: Deployment) -> Connection:
    """Wire everything up, with what `impasto up` runs where no address is set; no command is sent yet.

    Raises NotRunning where there is no Redis to be found, BadSettings for an address that is none.
    """
    located = locate(deployment)
    check_same_store(located)
    if located.redis_url is None:
        raise NotRunning("IMPASTO_REDIS_URL is not set and nothing runs on this machine")
    client = connect(located.redis_url, timeout_seconds=_TIMEOUT_SECONDS, repeat_silent=False)
    ledger = RedisLedger(client, namespace=located.namespace)
    store = open_deployment_store(located)
    batches = BatchFiles(store)
    app = make_app(located, located.redis_url)
    dispatcher = Dispatcher(app, ledger, batches, located, client)
    return Connection(located, client, app, ledger, store, batches, dispatcher)
