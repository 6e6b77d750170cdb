"""Redis's errors become LedgerUnavailable, each with its mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from impasto.shared.errors import LedgerUnavailable


@contextmanager
def translated(client: redis.Redis) -> Iterator[None]:
    """Around whatever talks to Redis. Raises LedgerUnavailable: host and port, never the password."""
    try:
        yield
    except redis.RedisError as error:
        raise LedgerUnavailable(f"Redis at {_address(client)} {_complaint(error)}") from error


def _address(client: redis.Redis) -> str:
    at = client.connection_pool.connection_kwargs
    return str(at["path"]) if "path" in at else f"{at.get('host', 'localhost')}:{at.get('port', 6379)}"


def _complaint(error: redis.RedisError) -> str:
    """What Redis said, and the mend; never with the URL, which may hold a password."""
    told = str(error)
    if isinstance(error, redis.AuthenticationError) or told.startswith("NOAUTH"):
        return "refuses the user or password: correct IMPASTO_REDIS_URL"
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return "is still loading its data: wait until it is done"
    if isinstance(error, redis.OutOfMemoryError) or "OOM" in told:
        return "is out of memory: raise its maxmemory, or remove what else lies in it"
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return f"does not answer: start it, or correct IMPASTO_REDIS_URL ({told})"
    if isinstance(error, redis.ReadOnlyError) or "READONLY" in told:
        return "is a read-only replica: point IMPASTO_REDIS_URL at the primary"
    if "MISCONF" in told:
        return "can't save to its disk and refuses writes: free its disk, see its log"
    return f"refuses a command: see its log ({told})"
