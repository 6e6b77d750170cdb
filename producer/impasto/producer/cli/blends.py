"""How a blend is written on the command line: `NAME=PATH:WEIGHT,PATH:WEIGHT`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from impasto.producer.blends import Blend
from impasto.producer.memory import Picture
from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

_PAINTING: Final = re.compile(r"(.+?):([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?:,|$)", re.DOTALL)
"""The weight ends it, so that paths may have commas and colons of their own."""


def parse_blends(texts: Sequence[str]) -> list[Blend]:
    """Raises BadSettings that shows the spelling."""
    return [_parse(text) for text in texts]


def _parse(text: str) -> Blend:
    name, equals, rest = text.partition("=")
    name = name.strip()
    paintings: dict[str | Path | Picture, float] = {}
    at = 0
    while at < len(rest):
        found = _PAINTING.match(rest, at)
        if found is None:
            raise _misspelt(text, f"{rest[at:]} has no weight")
        path = found[1].strip()
        if path in paintings:
            raise _misspelt(text, f"{path} is named twice")
        try:
            paintings[path] = float(found[2])
        except ValueError as error:
            raise _misspelt(text, f"{found[2]} is no number") from error
        at = found.end()
    if not equals or not name or not paintings:
        raise _misspelt(text, "it has no name" if not equals or not name else "it has no painting")
    return Blend(name, paintings)


def _misspelt(text: str, why: str) -> BadSettings:
    return BadSettings(
        f"--blend {printable(text)}: {printable(why)}: write NAME=PATH:WEIGHT,PATH:WEIGHT, "
        "such as dusk=night.png:0.7,woodcut.png:0.3"
    )
