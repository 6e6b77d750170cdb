"""Whoever submits the same again within a day means the same batch, without having named a token."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import fields
from typing import Final

from impasto.producer.request import Request
from impasto.shared.errors import NoSuchBatch
from impasto.shared.jobs import Content, StyleRef
from impasto.shared.ledger import BatchState, Ledger
from impasto.shared.settings import StyleSettings

DAY_SECONDS: Final = 86_400

_NOT_WHAT: Final = frozenset(
    ("contents", "styles", "masks", "priority", "token", "strict", "again", "recheck")
)
"""Fields of a request that don't say what is to be made: its inputs are told apart by what they are."""


def identity(request: Request, contents: Iterable[Content], styles: Iterable[StyleRef]) -> str:
    """Equal for submissions of the same inputs, by bytes and names, under equal settings; hexadecimal."""
    digest = hashlib.sha256()
    for field in fields(request):
        if field.name not in _NOT_WHAT:
            value = getattr(request, field.name)
            # Not as text: a batch that is called None has a name.
            told = value.digest() if isinstance(value, StyleSettings) else value
            digest.update(f"{json.dumps([field.name, told])}\n".encode())
    for refs in (contents, styles):
        for ref in refs:
            digest.update(f"{ref.model_dump_json()}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def token_or_batch(ledger: Ledger, identity: str) -> tuple[str, str | None]:
    """The token to open the batch with, and the batch of the last 24 hours that is the same, if there is one.

    One that was cancelled is none: who submits it again wants it after all.
    """
    now = time.time()
    today = int(now // DAY_SECONDS)
    token, batch = _follow(ledger, f"inputs {identity} {today}")
    if batch is None:
        _, before = _follow(ledger, f"inputs {identity} {today - 1}")
        if before is not None and now - ledger.status(before).created_ms / 1000 < DAY_SECONDS:
            return token, before
    return token, batch


def _follow(ledger: Ledger, first: str) -> tuple[str, str | None]:
    token = first
    while (batch := ledger.opened_by(token)) is not None:
        try:
            if ledger.status(batch).state is not BatchState.CANCELLED:
                return token, batch
        except NoSuchBatch:
            pass
        token = f"{first} after {batch}"
    return token, None
