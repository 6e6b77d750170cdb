"""`impasto failures`: why pairs failed."""

from __future__ import annotations

import typer

from impasto.producer.cli.answers import as_json, timestamp
from impasto.producer.cli.options import BatchArgument, JsonOption
from impasto.producer.client import Client
from impasto.shared.printable import printable


def failures(batch: BatchArgument = "latest", json_: JsonOption = False) -> None:
    """Name a batch's failed pairs and why each failed."""
    with Client() as client:
        found = client.find(batch)
        failed = client.failures(found)
    if json_:
        as_json(
            {
                "batch": found,
                "failures": [
                    {
                        "pair": one.pair,
                        "content": one.content,
                        "style": one.style,
                        "kind": one.kind,
                        "error": one.message,
                        "attempts": one.attempts,
                        "failed_at": timestamp(one.failed_ms),
                    }
                    for one in failed
                ],
            }
        )
        return
    if not failed:
        typer.echo(f"{found}: no pair failed")
    for one in failed:
        tries = f" ({one.attempts} attempts)" if one.attempts > 1 else ""
        pair = f"{printable(one.content)} × {printable(one.style)}"
        typer.echo(f"{one.pair}: {pair}: {printable(one.message)}{tries}")
