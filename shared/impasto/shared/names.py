"""Names that inputs and outputs carry: safe as keys, as file names, and never one for two."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

_SLUG_LIMIT_BYTES: Final = 100
_COUNTER_LIMIT_BYTES: Final = 20
_SLUG_CHARACTERS: Final = re.compile(r"[\w.\-]+")


def slugify(name: str, *, keep_extension: bool = False) -> str:
    """A name's part of an output's name: NFC, letters, digits, dots, dashes and single underscores.

    Never empty, at most 100 bytes in UTF-8, never starting with a dot; a name that had to be cut or that
    has nothing left gets a piece of its digest. Two underscores never meet, so that `<content>__<style>` can
    be read one way only. What looks like a file's extension goes, unless `keep_extension`.
    """
    stem = PurePosixPath(name.replace("\\", "/")).name or name
    if not keep_extension:
        stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", stem)
    stem = unicodedata.normalize("NFC", stem)
    stem = re.sub(r"[^\w.\-]+", "_", stem)
    stem = re.sub(r"_{2,}", "_", re.sub(r"\.{2,}", ".", stem)).strip("._-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if not stem:
        return f"picture-{digest}"
    if len(stem.encode()) > _SLUG_LIMIT_BYTES:
        cut = stem.encode()[: _SLUG_LIMIT_BYTES - 9].decode("utf-8", "ignore").strip("._-")
        return f"{cut}-{digest}"
    return stem


def is_slug(text: str) -> bool:
    """Whether the text may be a part of an output's name: what `slugify` and `unique_slugs` give."""
    return (
        _SLUG_CHARACTERS.fullmatch(text) is not None
        and "__" not in text
        and ".." not in text
        and text[0] not in "_."
        and text[-1] != "_"
        and (text.isascii() or unicodedata.is_normalized("NFC", text))
        and len(text.encode()) <= _SLUG_LIMIT_BYTES + _COUNTER_LIMIT_BYTES
    )


class SlugSet:
    """Slugs given so far: no two equal, not even where upper and lower case are one."""

    def __init__(self) -> None:
        self._last_count: dict[str, int] = {}

    def give(self, name: str) -> str:
        """A slug for the name that nobody has: `cat`, then `cat-2`, `cat-3`, …"""
        slug = slugify(name)
        candidate = slug
        while (folded := candidate.casefold()) in self._last_count:
            # The count is remembered, so ten thousand files of one name cost ten thousand steps.
            count = self._last_count[slug.casefold()] + 1
            self._last_count[slug.casefold()] = count
            candidate = f"{slug}-{count}"
        self._last_count[folded] = 1
        return candidate
