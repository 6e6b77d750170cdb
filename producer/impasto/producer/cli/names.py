"""Running pairs by the names of their inputs, which only the batch's files know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from impasto.producer.client import Client
from impasto.shared.errors import ImpastoError
from impasto.shared.ledger import RunningPair


def pair_name(client: Client, pair: RunningPair) -> str:
    """`content × style`, without their folders; the pair's number where the store does not tell."""
    content, style = _names(client, pair)
    if content is None or style is None:
        return f"pair {pair.pair}"
    return f"{content.rpartition('/')[2]} × {style.rpartition('/')[2]}"


def running_fields(client: Client, running: Iterable[RunningPair]) -> list[dict[str, Any]]:
    """The public form of pairs under way; step, steps and loss are None until the first step."""
    fields = []
    for pair in running:
        content, style = _names(client, pair)
        told = {name: pair.progress.get(name) for name in ("step", "steps", "loss")}
        fields.append(
            {
                "pair": pair.pair,
                "content": content,
                "style": style,
                "worker": pair.worker,
                "attempt": pair.attempt,
                **told,
            }
        )
    return fields


def _names(client: Client, pair: RunningPair) -> tuple[str | None, str | None]:
    try:
        job = client.connection.batches.job(pair.batch, pair.pair)
    except (ImpastoError, IndexError):
        return None, None
    return job.content.name, job.style.name
