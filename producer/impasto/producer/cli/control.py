"""`impasto cancel`, `pause`, `resume`, `retry`, `priority`: what people do to a batch."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from impasto.producer.cli.answers import as_json, counts_line, status_fields
from impasto.producer.cli.options import BatchArgument, JsonOption
from impasto.producer.cli.screen import counted
from impasto.producer.client import Client
from impasto.shared.ledger import BatchStatus

_MOST_IN_A_SPAN: Final = 1_000_000


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


def retry(
    batch: BatchArgument,
    failed: Annotated[bool, typer.Option("--failed", help="All pairs that failed; the default.")] = False,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="3,7-9", help="Only these, by the numbers that impasto failures shows."),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Try again what failed in a batch, with new attempts. What is done stays."""
    if failed and pairs is not None:
        raise typer.BadParameter("give --failed or --pairs, not both")
    wanted = None if pairs is None else numbers(pairs)
    with Client() as client:
        found = client.find(batch)
        retried = client.retry(found, wanted)
        status = client.status(found)
    if json_:
        as_json({"retried": retried, **status_fields(status)})
    else:
        typer.echo(
            f"{counted(retried, 'failed pair')} of {found} will be tried again; "
            f"it is {status.state.value}: {counts_line(status)}"
        )


def priority(
    batch: BatchArgument,
    priority: Annotated[int, typer.Argument(min=0, max=9, help="0 is served first, 9 last.")],
    json_: JsonOption = False,
) -> None:
    """Serve a batch sooner or later than others from now on."""
    with Client() as client:
        status = client.set_priority(batch, priority)
    if json_:
        as_json(status_fields(status))
    else:
        typer.echo(f"{status.batch} has priority {status.priority} and is {status.state.value}")


def numbers(text: str) -> list[int]:
    """`3,7-9` as 3, 7, 8, 9. Raises typer.BadParameter."""
    found: list[int] = []
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", part)
        if span is None:
            raise typer.BadParameter(f"'{text}' names no pairs: write them as 3,7-9")
        first, last = int(span[1]), int(span[2] or span[1])
        if not first <= last < first + _MOST_IN_A_SPAN:
            raise typer.BadParameter(f"'{part.strip()}' is no span of pairs, or more than a million")
        found += range(first, last + 1)
    return found


def _answer(status: BatchStatus, *, as_json_: bool) -> None:
    if as_json_:
        as_json(status_fields(status))
    else:
        typer.echo(f"{status.batch} is {status.state.value}: {counts_line(status)}")
