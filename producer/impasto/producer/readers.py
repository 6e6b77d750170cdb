"""Batches whose inputs are results of other batches."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain
from typing import Final

from impasto.producer.connection import Connection
from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.errors import NoSuchBatch, ObjectMissing
from impasto.shared.store import ObjectStore

_READERS: Final = 8
_LISTS: Final[tuple[layout.InputList, ...]] = ("contents", "styles")


def read_by_others(connection: Connection, batches: Collection[str]) -> tuple[str, str] | None:
    """One of these batches, and one that is not over and reads results of it; None when there is none.

    Every input's address of every other batch that is not over is looked at, a chunk of them at a time.
    """
    store = connection.store
    # Whole addresses, as the input reader takes them: a result may be called by its bucket as well.
    places = "|".join(re.escape(place) for place in ("store:", f"{store.url}/"))
    address = re.compile(f'"(?:{places}){layout.OUTPUTS}([^/"]+)/'.encode())
    wanted = {batch.encode() for batch in batches}
    for reader in connection.ledger.batches():
        if reader in batches or _is_over(connection, reader):
            continue
        chunks = chain.from_iterable(store.list(layout.chunks_prefix(reader, name)) for name in _LISTS)
        for _, data in each(lambda info: _bytes_of(store, info.key), chunks, threads=_READERS):
            for found in address.finditer(data):
                if found[1] in wanted:
                    return found[1].decode(), reader
    return None


def _is_over(connection: Connection, batch: str) -> bool:
    try:
        return connection.ledger.status(batch).is_over
    except NoSuchBatch:
        return True


def _bytes_of(store: ObjectStore, key: str) -> bytes:
    try:
        return store.get(key)
    except ObjectMissing:
        return b""
