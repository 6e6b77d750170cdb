"""Healthcheck of a worker's container: has Redis heard the heart of a worker on this host of late?

Exit code 0 if so; otherwise Impasto's own exit codes, with one line on stderr. A worker counts as alive for
IMPASTO_LEASE_SECONDS after each beat. While Redis is away the answer is no: nothing can be worked on.
"""

from __future__ import annotations

import socket
import sys

from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError, NotRunning
from impasto.shared.ledger.redis_ledger import RedisLedger, connect


def check() -> None:
    """Raises NotRunning when no worker of this host beats, BadSettings and LedgerUnavailable."""
    deployment = Deployment.load()
    if deployment.redis_url is None:
        raise BadSettings("IMPASTO_REDIS_URL is not set: set it to the Redis that the worker uses")
    host = socket.gethostname()
    with connect(deployment.redis_url) as client:
        workers = RedisLedger(client, namespace=deployment.namespace).workers()
    if not any(worker.info.get("host") == host for worker in workers):
        raise NotRunning(f"no worker on {host} has told Redis that it lives: see the worker's log")


def main() -> int:
    try:
        check()
    except ImpastoError as error:
        sys.stderr.write(f"worker_alive: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
