"""Which inputs the store has already: nothing is uploaded twice, and few questions are asked to know it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal

from impasto.shared.layout import INPUTS
from impasto.shared.store import ObjectStore

_FEW: Final = 32
"""So many objects are asked for one by one: a listing would cost as much."""
_LISTED_PER_INPUT: Final = 2
_LISTED_AT_LEAST: Final = 1000  # one page


class Uploads:
    """The store's inputs as they were found, and those that this process has put since.

    A thousand names come with one question, so the store is listed once instead of being asked for each
    input; not to its end where it holds many more than are needed. What the listing did not show is then
    asked for. Safe to share between threads.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._under_way: set[bytes] = set()
        self._known: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._listed_to = 0
        self._is_complete = False

    def expect(self, inputs: int) -> None:
        """So many will be asked for. Raises the store's errors."""
        limit = max(_LISTED_AT_LEAST, _LISTED_PER_INPUT * inputs)
        with self._changed:
            if inputs < _FEW or self._is_complete or self._listed_to >= limit:
                return
            objects = self._store.list(INPUTS)
            listed = 0
            for info in islice(objects, limit):
                listed += 1
                self._known.add(_packed(info.key, info.size_bytes))
            self._listed_to, self._is_complete = limit, listed < limit

    def put_once(
        self, key: str, size_bytes: int, put: Callable[[], None]
    ) -> Literal["put", "there", "asked before"]:
        """Calls `put` unless the object is there, or was put or found through here.

        Of several callers at once one puts, and the others wait for it. Raises the store's errors, and what
        `put` raises.
        """
        packed = _packed(key, size_bytes)
        with self._changed:
            while packed in self._under_way:
                self._changed.wait()
            if packed in self._asked:
                return "asked before"
            if packed in self._known:
                self._known.discard(packed)
                self._asked.add(packed)
                return "there"
            self._under_way.add(packed)
        try:
            is_there = not self._is_complete and self._is_there(key, size_bytes)
            if not is_there:
                put()
            self._asked.add(packed)
            return "there" if is_there else "put"
        finally:
            with self._changed:
                self._under_way.discard(packed)
                self._changed.notify_all()

    def _is_there(self, key: str, size_bytes: int) -> bool:
        there = self._store.head(key)
        return there is not None and there.size_bytes == size_bytes


def _packed(key: str, size_bytes: int) -> bytes:
    """A third of the memory that a key takes: there may be some hundred thousand."""
    stem, _, extension = key.removeprefix(INPUTS).partition(".")
    try:
        digest = bytes.fromhex(stem)
    except ValueError:
        digest = stem.encode()
    return b".".join((digest, extension.encode(), str(size_bytes).encode()))
