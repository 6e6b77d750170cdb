"""`impasto cancel`, `pause`, `resume`: what people do to a whole batch."""

from __future__ import annotations

import typer

from impasto.producer.cli.answers import as_json, counts_line, status_fields
from impasto.producer.cli.options import BatchArgument, JsonOption
from impasto.producer.client import Client
from impasto.shared.ledger import BatchStatus


def cancel(batch: BatchArgument, json_: JsonOption = False) -> None:
    """Start no more of a batch and stop what runs. What is done stays; it can't be undone."""
    with Client() as client:
        _answer(client.cancel(batch), as_json_=json_)


def pause(batch: BatchArgument, json_: JsonOption = False) -> None:
    """Start no more of a batch and hand back what runs, until it is resumed."""
    with Client() as client:
        _answer(client.pause(batch), as_json_=json_)


def resume(batch: BatchArgument, json_: JsonOption = False) -> None:
    """Go on with a paused batch."""
    with Client() as client:
        _answer(client.resume(batch), as_json_=json_)


def _answer(status: BatchStatus, *, as_json_: bool) -> None:
    if as_json_:
        as_json(status_fields(status))
    else:
        typer.echo(f"{status.batch} is {status.state.value}: {counts_line(status)}")
