"""Text from outside, made fit for one line of a message or a log."""

from __future__ import annotations

from typing import Final

_LIMIT: Final = 300


def printable(text: str) -> str:
    r"""The text on one line: what can't be printed is escaped (`\n`, `\x1b`, `\udcff`), the rest bounded."""
    escaped = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: _LIMIT + 1]
    )
    return escaped if len(escaped) <= _LIMIT else f"{escaped[: _LIMIT - 1]}…"
