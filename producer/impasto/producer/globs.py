"""Glob patterns: what a shell makes of them, with an end where links go in a circle."""

# ruff: noqa: PTH118, PTH207
# A hundred thousand names are handled as text: as Path objects they take several times as long.

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_ANY_DEPTH: Final = re.compile(r"(?:^|(?<=/))\*\*(?:/+\*\*)*(?:/+|$)")


def goes_deep(pattern: str) -> bool:
    """Whether a part of it is `**`, which stands for a folder and all that is below it."""
    return _ANY_DEPTH.search(pattern) is not None


@dataclass(frozen=True)
class Globber:
    """Finds the paths of a pattern.

    `may_be_folder` says of what lies in a folder whether it is looked into. `on_error` is told the folder
    below a `**` that can't be read; the others go on.
    """

    may_be_folder: Callable[[os.DirEntry[str]], bool]
    on_error: Callable[[str, OSError], None]

    def paths(self, pattern: str) -> list[str]:
        """All that match, sorted, each once. What is hidden matches only where the pattern has the dot."""
        return sorted(set(self._below("", pattern)))

    def _below(self, root: str, pattern: str) -> Iterator[str]:
        deep = _ANY_DEPTH.search(pattern)
        if deep is None:
            yield from _shallow(root, pattern)
            return
        head, tail = pattern[: deep.start()], pattern[deep.end() :]
        # The library's own `**` follows a link to a folder above it forty times, and two such links for ever.
        for top in _shallow(root, head) if head else [root]:
            for folder in self._folders(top, frozenset()):
                yield from self._below(folder, tail or "*")

    def _folders(self, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        """The folder and all below it, but for hidden ones and those that lie in themselves."""
        here = folder or os.curdir
        try:
            status = os.stat(here)  # noqa: PTH116
            identity = (status.st_dev, status.st_ino)
            if identity in above or not stat.S_ISDIR(status.st_mode):
                return
            with os.scandir(here) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if not entry.name.startswith(".") and self.may_be_folder(entry)
                )
        except OSError as error:
            self.on_error(folder, error)
            return
        yield folder
        for name in names:
            yield from self._folders(os.path.join(folder, name), above | {identity})


def _shallow(root: str, pattern: str) -> Iterator[str]:
    return (os.path.join(root, path) for path in glob.iglob(pattern, root_dir=root or None))
