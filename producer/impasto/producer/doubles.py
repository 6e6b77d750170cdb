"""Submissions that were made twice: the first one's files lie in the store, and it was never opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.jobs import BatchSpec
from impasto.shared.ledger import Ledger
from impasto.shared.ledger.policy import TOKEN_SECONDS
from impasto.shared.store import ObjectStore

_TOKEN_LIVES: Final = timedelta(seconds=TOKEN_SECONDS)


def doubles(files: BatchFiles, ledger: Ledger, specs: Sequence[BatchSpec]) -> dict[str, str]:
    """Batches of which nothing was ever done, each with the one of the same token that stands for it.

    `specs`: what the ledger lacks. A batch that the ledger has under that token stands; otherwise those of
    which something was done, or else the newest.
    """
    by_token: dict[str, list[BatchSpec]] = defaultdict(list)
    for spec in specs:
        if spec.token is not None:
            by_token[spec.token].append(spec)
    found: dict[str, str] = {}
    for token, alike in by_token.items():
        opened = ledger.opened_by(token)
        if opened is None and len(alike) == 1:
            continue
        alike.sort(key=lambda spec: (spec.created_at, spec.batch), reverse=True)
        begun = {spec.batch for spec in alike if spec.batch == opened or _was_begun(files.store, spec.batch)}
        for n, spec in enumerate(alike):
            if spec.batch in begun:
                continue
            standing = [] if opened is None else [opened]
            standing += [
                one.batch
                for m, one in enumerate(alike)
                if (one.batch in begun or m < n) and abs(one.created_at - spec.created_at) <= _TOKEN_LIVES
            ]
            if standing:
                found[spec.batch] = standing[0]
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
