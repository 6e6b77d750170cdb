"""`impasto deadletters`: messages that were no pair jobs."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from impasto.producer.cli.answers import as_json, timestamp
from impasto.producer.cli.options import JsonOption
from impasto.producer.cli.screen import counted
from impasto.producer.client import Client
from impasto.shared.printable import printable

_RAW_SHOWN: Final = 200


def deadletters(
    forget: Annotated[
        bool, typer.Option("--forget", help="Then drop what was listed, once its sender is mended.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """List messages on the queue that were no pair jobs, and what was wrong with each.

    The latest 1,000 are kept, each in its first 16,384 characters; only `--json` shows them whole.
    """
    with Client() as client:
        letters = client.dead_letters()
        forgotten = client.forget_dead_letters(letters) if forget else None
    if json_:
        listed = [{"at": timestamp(one.at_ms), "reason": one.reason, "raw": one.raw} for one in letters]
        as_json({"deadletters": listed} | ({} if forgotten is None else {"forgotten": forgotten}))
        return
    if not letters:
        typer.echo("no dead letters")
    for one in letters:
        cut = "…" if len(one.raw) > _RAW_SHOWN else ""
        typer.echo(f"{timestamp(one.at_ms)}  {printable(one.reason)}")
        typer.echo(f"    {printable(one.raw[:_RAW_SHOWN])}{cut}")
    if forgotten:
        typer.echo(f"{counted(forgotten, 'dead letter')} forgotten")
