"""`impasto status`: one batch, or all of them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from impasto.producer.cli.answers import (
    as_columns,
    as_json,
    progress_line,
    status_fields,
    terminal_cells,
    timestamp,
)
from impasto.producer.cli.names import pair_name, running_fields
from impasto.producer.cli.options import JsonOption, known_batches
from impasto.producer.cli.screen import left
from impasto.producer.client import Client
from impasto.shared.ledger import BatchStatus, RunningPair
from impasto.shared.printable import printable

_WHOLE_COLUMNS: Final = 5  # up to LEFT; CREATED and NAME give way to a narrow terminal


def status(
    batch: Annotated[
        str | None,
        typer.Argument(
            metavar="[BATCH]",
            help="A batch's id, a beginning that only one has, or 'latest'; without: all batches.",
            autocompletion=known_batches,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many batches to list, newest first.")] = 20,
    json_: JsonOption = False,
) -> None:
    """Show where a batch stands, or list all batches."""
    with Client() as client:
        if batch is None:
            _list(client, limit, as_json_=json_)
            return
        one = client.status(batch)
        running = client.running(one.batch)
        if json_:
            as_json(status_fields(one, running_fields(client, running)))
        else:
            _show(one, [f"{pair_name(client, pair)}{_step(pair)}, on {pair.worker}" for pair in running])


def _list(client: Client, limit: int, *, as_json_: bool) -> None:
    batches = client.batches(limit)
    if as_json_:
        as_json({"batches": [status_fields(one) for one in batches]})
    elif not batches:
        typer.echo("no batch yet: make one with impasto submit")
    else:
        header = ("BATCH", "STATE", "DONE", "FAILED", "LEFT", "CREATED", "NAME")
        as_columns([header, *(_row(one) for one in batches)], cells=terminal_cells(), whole=_WHOLE_COLUMNS)


def _row(one: BatchStatus) -> tuple[str, ...]:
    return (
        one.batch,
        one.state.value,
        f"{one.done}/{one.total}",
        str(one.failed),
        "" if one.is_over else left(one.eta_seconds),
        timestamp(one.created_ms),
        printable(one.name),
    )


def _step(pair: RunningPair) -> str:
    told = pair.progress
    return f", step {told['step']} of {told.get('steps', '?')}" if "step" in told else ""


def _show(one: BatchStatus, running: list[str]) -> None:
    rows = [
        ("batch", one.batch),
        ("name", printable(one.name)),
        ("state", one.state.value),
        ("pairs", progress_line(one)),
        ("created", timestamp(one.created_ms)),
    ]
    if one.finished_ms is not None:
        rows.append(("finished", timestamp(one.finished_ms)))
    if not one.is_over:
        rows.append(("workers", str(one.workers)))
    rows += [("running", printable(line)) for line in running]
    as_columns(rows)
