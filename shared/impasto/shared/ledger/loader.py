"""Reads the Lua scripts: each a transition, with the preludes that its header includes put before it."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_INCLUDE = re.compile(r"^-- include: (.+)$", re.MULTILINE)


def script_names() -> list[str]:
    """Names of all scripts, sorted, without the preludes."""
    names = (entry.name.removesuffix(".lua") for entry in _folder().iterdir() if entry.name.endswith(".lua"))
    return sorted(name for name in names if not name.startswith("_"))


@cache
def script_text(name: str) -> str:
    """The script as the server gets it."""
    text = read(name)
    include = _INCLUDE.search(text)
    preludes = include.group(1).split() if include else []
    return "\n".join([*(read(prelude) for prelude in preludes), text])


def read(name: str) -> str:
    """The text of one file as it lies there."""
    return (_folder() / f"{name}.lua").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return files("impasto.shared.ledger") / "scripts"
