"""User metadata of objects in the form that S3 carries: ASCII, percent-encoded, 2 KB at most."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from impasto.shared.errors import StoreRefused
from impasto.shared.printable import printable

METADATA_LIMIT_BYTES: Final = 2048
"""Amazon's bound for names and values together; imitations often take more."""


def to_wire(metadata: Mapping[str, str] | None, *, key: str) -> dict[str, str]:
    """Names as they are, values percent-encoded. Raises StoreRefused for a bad name or too much of it."""
    wire = {}
    for name, value in (metadata or {}).items():
        if re.fullmatch(r"[a-z0-9-]+", name) is None:
            raise StoreRefused(
                f"'{printable(name)}' can be no metadata name of {printable(key)}: "
                "use lower-case letters, digits and dashes"
            )
        wire[name] = quote(value, safe=",:;/@+=()-._~", errors="surrogatepass")
    size_bytes = sum(len(name) + len(value) for name, value in wire.items())
    if size_bytes > METADATA_LIMIT_BYTES:
        raise StoreRefused(
            f"the metadata of {printable(key)} takes {size_bytes} bytes, "
            f"and S3 holds {METADATA_LIMIT_BYTES}: shorten it"
        )
    return wire


def from_wire(wire: Mapping[str, str]) -> dict[str, str]:
    """What `to_wire` encoded; names in lower case, as some servers change that."""
    return {name.lower(): unquote(value, errors="surrogatepass") for name, value in wire.items()}
