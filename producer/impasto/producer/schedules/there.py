"""A schedule's sources, made absolute and looked for before they are kept."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, InputRefused
from impasto.shared.printable import printable
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import InputReader, open_input_reader

_OBJECTS: Final = ("s3://", "store:")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_MAGIC: Final = re.compile(r"[*?\[]")


class Lookout:
    """Looks whether sources can be read from here; opens a connection only for those that are not files."""

    def __init__(self, deployment: Deployment, store: ObjectStore) -> None:
        self._deployment = deployment
        self._store = store
        self._reader: InputReader | None = None

    def all(self, what: str, sources: Iterable[str | Path]) -> tuple[str, ...]:
        """The sources as they are read from any working folder.

        A folder may be empty, and a pattern may fit nothing yet. Raises BadSettings for what is no source,
        InputRefused, StoreRefused or ObjectMissing for one that is not there, which `what` says.
        """
        return tuple(self.one(what, source) for source in sources)

    def one(self, what: str, source: str | Path) -> str:
        """As `all`, of one source."""
        text = os.fspath(source)
        shown = printable(text)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadSettings(f"{what} {shown}: the name is not UTF-8, rename it") from None
        if not text or "\0" in text:
            raise BadSettings(f"{what} {shown!r}: it is no name")
        if text.startswith(_OBJECTS):
            if self._reader is None:
                self._reader = open_input_reader(self._deployment, self._store)
            # The first alone tells whether it may be listed at all.
            list(itertools.islice(self._reader.list(text), 1))
            return text
        if _SCHEME.match(text):
            raise BadSettings(f"{what} {shown}: give a path, s3://bucket/prefix or store:prefix")
        path = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - keeps what is a pattern
        known = path
        if glob.has_magic(path) and not os.path.lexists(path):
            known = os.path.dirname(_MAGIC.split(path, maxsplit=1)[0])  # noqa: PTH120
        if not os.path.exists(known):  # noqa: PTH110
            raise InputRefused(
                f"{what} {shown}: nothing is there ({printable(known)}); a schedule's files are read on the "
                "machine of its `impasto beat`, so add it there"
            )
        return path
