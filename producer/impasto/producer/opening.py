"""A batch comes to be: its files in the store, then its opening in the ledger."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from impasto.producer.connection import Connection
from impasto.producer.request import Pairs
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ImpastoError, LedgerUnavailable
from impasto.shared.jobs import BatchSpec, Content, StyleRef
from impasto.shared.ledger import BatchOpening
from impasto.shared.output_names import OutputNames
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore

_ID_CHARACTERS: Final = 32  # of a name in its batch's id, which people read in tables and type
_LONGEST_ID: Final = f"{'batch':-<{_ID_CHARACTERS}}-abc234"


def make_spec(
    store: ObjectStore,
    settings: StyleSettings,
    *,
    contents: int,
    styles: int,
    pairs: Pairs,
    name: str | None,
    owner: str,
    priority: int,
    token: str | None,
    output_names: str | None = None,
) -> BatchSpec:
    """A batch of now, with an id of its own. Raises BadSettings."""
    now = datetime.now(UTC)
    try:
        return BatchSpec(
            batch=_fresh_id(name, store),
            name=name or f"{now:%Y-%m-%d %H:%M} UTC",
            owner=owner,
            created_at=now,
            pairs=pairs,
            contents=contents,
            styles=styles,
            settings=settings,
            priority=priority,
            token=token,
            output_names=output_names,
        )
    except ValidationError as error:
        raise BadSettings("; ".join(str(e["msg"]) for e in error.errors())) from error


def check_names(
    output_names: str | None, contents: Iterable[Content], styles: Iterable[StyleRef], *, zipped: bool
) -> None:
    """Raises BadSettings, in one line, unless each pair's output has a name of its own.

    Before there is a batch: its id is taken to be as long as one can be, and its date is today's.
    """
    if output_names is not None:
        names = OutputNames(output_names, batch=_LONGEST_ID, date=f"{datetime.now(UTC):%Y-%m-%d}")
        places = [(content.slug, content.path) for content in contents]
        names.check(places, [style.slug for style in styles], zipped=zipped)


def open_batch(
    connection: Connection, spec: BatchSpec, *, before_it_runs: Callable[[str], object] | None = None
) -> str:
    """Open a batch whose files are written; its id, or that of an earlier one with the same token.

    Opening is the commit: before it nothing is visible, after it the batch runs even when this process dies,
    since workers publish what is due. `before_it_runs` is called with its id in between, if it is a new one.
    Raises LedgerUnavailable, and passes KeyboardInterrupt on, with the batch's id: it may have been opened.
    """
    may_stand = f"batch {spec.batch} may have been submitted: impasto status {spec.batch} tells"
    try:
        opened = connection.ledger.open(
            BatchOpening(spec.batch, spec.total, spec.name, priority=spec.priority, token=spec.token)
        )
        # If it can't be published it stands all the same: the workers' next sweep finds what is due.
        with contextlib.suppress(ImpastoError):
            if opened.created:
                if before_it_runs is not None:
                    before_it_runs(opened.batch)
                connection.dispatcher.advance(spec.batch)
            elif opened.batch != spec.batch:
                # Nobody knows of it, and a recovery would make it a second batch of the same.
                connection.store.delete(layout.spec_key(spec.batch))
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(may_stand) from interrupt
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"{error}; {may_stand}", retry_after_seconds=error.retry_after_seconds
        ) from error
    return opened.batch


def _fresh_id(name: str | None, store: ObjectStore) -> str:
    """`<name or time>-<6 random>`, unlike that of any batch in the store."""
    text = unicodedata.normalize("NFKD", name or "").encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:_ID_CHARACTERS].strip("-")
    slug = slug or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    while True:
        batch = f"{slug}-{base64.b32encode(secrets.token_bytes(4)).decode().lower()[:6]}"
        if store.head(layout.spec_key(batch)) is None:
            return batch
