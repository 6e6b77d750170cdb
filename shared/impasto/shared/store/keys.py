"""What may be a key, for every store alike."""

from __future__ import annotations

import unicodedata
from typing import Final

from impasto.shared.errors import StoreRefused
from impasto.shared.printable import printable

KEY_LIMIT_BYTES: Final = 1024
"""S3's bound for a whole key, in UTF-8."""

PART_LIMIT_BYTES: Final = 250
"""A file name's usual bound of 255, less the `.json` of a sidecar."""


def checked_key(key: str) -> str:
    """The key itself, when it can't leave its store and means the same on every store.

    Relative, `/`-separated, NFC, no control characters, no empty part, no part that starts with a dot (so
    neither `..` nor a store's own files), bounded in length. Raises StoreRefused.
    """
    problem = _problem(key)
    if problem is not None:
        raise StoreRefused(f"'{printable(key)}' can be no key of the store: {problem}")
    return key


def checked_prefix(prefix: str) -> str:
    """A prefix of keys: empty, or the start of something `checked_key` takes. Raises StoreRefused."""
    whole = f"{prefix}x" if prefix.endswith("/") or not prefix else prefix
    checked_key(whole)
    return prefix


def _problem(key: str) -> str | None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "it is no Unicode text"
    parts = key.split("/")
    if not key:
        return "it is empty"
    if len(encoded) > KEY_LIMIT_BYTES:
        return f"it is longer than {KEY_LIMIT_BYTES} bytes"
    if any(unicodedata.category(character) == "Cc" for character in key):
        return "it has control characters"
    if not unicodedata.is_normalized("NFC", key):
        return "it is not in Unicode's normal form C"
    if not all(parts):
        return "it starts or ends with a slash, or has two in a row"
    if any(part.startswith(".") for part in parts):
        return "one of its parts starts with a dot"
    if "\\" in key:
        return "it has a backslash"
    if any(len(part.encode()) > PART_LIMIT_BYTES for part in parts):
        return f"one of its parts is longer than {PART_LIMIT_BYTES} bytes"
    return None
