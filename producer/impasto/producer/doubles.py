"""Submissions that were made twice: the first one's files lie in the store, and it was never opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence
from datetime import timedelta
from typing import Final

from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import Permanent, UnknownVersion
from impasto.shared.jobs import BatchSpec
from impasto.shared.ledger import Ledger
from impasto.shared.ledger.policy import TOKEN_SECONDS
from impasto.shared.store import ObjectStore

_READERS: Final = 16
_TOKEN_LIVES: Final = timedelta(seconds=TOKEN_SECONDS)


def doubles(
    files: BatchFiles, ledger: Ledger, specs: Sequence[BatchSpec], forgotten: Sequence[str]
) -> dict[str, str]:
    """Batches of which nothing was ever done, each with the one of the same token that stands for it.

    `specs`: what the ledger lacks. A batch that the ledger has under that token stands; otherwise those of
    which something was done, or a newer one, even one of those that it was told to forget.
    """
    by_token: dict[str, list[BatchSpec]] = defaultdict(list)
    for spec in specs:
        if spec.token is not None:
            by_token[spec.token].append(spec)
    gone = _of_tokens(files, forgotten, by_token)
    found: dict[str, str] = {}
    for token, alike in by_token.items():
        opened = ledger.opened_by(token)
        if opened is None and len(alike) == 1 and token not in gone:
            continue
        alike.sort(key=lambda spec: (spec.created_at, spec.batch), reverse=True)
        begun = {spec.batch for spec in alike if spec.batch == opened or _was_begun(files.store, spec.batch)}
        for n, spec in enumerate(alike):
            if spec.batch in begun:
                continue
            others = [one for m, one in enumerate(alike) if one.batch in begun or m < n]
            others += [one for one in gone.get(token, ()) if one.created_at > spec.created_at]
            standing = [one.batch for one in others if abs(one.created_at - spec.created_at) <= _TOKEN_LIVES]
            if opened is not None or standing:
                found[spec.batch] = opened or standing[0]
    return found


def _of_tokens(
    files: BatchFiles, batches: Sequence[str], tokens: Container[str | None]
) -> dict[str, list[BatchSpec]]:
    def spec_of(batch: str) -> BatchSpec | None:
        try:
            return files.spec(batch)
        except (Permanent, UnknownVersion):
            return None

    found: dict[str, list[BatchSpec]] = defaultdict(list)
    for _, spec in each(spec_of, batches, threads=_READERS):
        if spec is not None and spec.token is not None and spec.token in tokens:
            found[spec.token].append(spec)
    return found


def _was_begun(store: ObjectStore, batch: str) -> bool:
    """Whether the store has anything that only an opened batch has."""
    return any(
        next(store.list(prefix), None) is not None
        for prefix in (
            layout.outputs_prefix(batch),
            layout.report_key(batch, "json"),
            layout.checkpoints_prefix(batch),
            layout.recovering_key(batch),
        )
    )
