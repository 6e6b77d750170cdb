"""`impasto watch`: a batch as it goes, until it is over."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from impasto.producer.cli.answers import (
    CANCELLED,
    SOME_FAILED,
    as_json,
    outcome,
    progress_line,
    status_fields,
)
from impasto.producer.cli.names import pair_name, running_fields
from impasto.producer.cli.options import BatchArgument, JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen, interruptible
from impasto.producer.client import Client


def watch(
    batch: BatchArgument = "latest",
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="An update at least so often.")
    ] = 1.0,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Show a batch's progress until it is over, and end as it does: 0 all done, 1 some failed, 3 cancelled.

    Ctrl-C stops the watching, not the batch. With --json one status a change, one line each.
    """
    screen = Screen(quiet=quiet, progress=not no_progress and not json_)
    with Client() as client:
        raise typer.Exit(follow(client, client.find(batch), screen, as_json_=json_, every_seconds=every))


def follow(
    client: Client,
    batch: str,
    screen: Screen,
    *,
    as_json_: bool,
    final_only: bool = False,
    every_seconds: float = 1.0,
) -> int:
    """Show the batch until it is over; the exit code of its outcome."""
    stands = f"batch {batch} goes on; impasto watch {batch} shows it again"
    with interruptible(stands), screen.watching(partial(pair_name, client)) as watching:
        for update in client.watch(batch, every_seconds=every_seconds):
            watching.show(update)
            if as_json_ and (update.is_last or not final_only):
                as_json(status_fields(update.status, running_fields(client, update.running)))
    status = update.status
    code = outcome(status)
    if not as_json_:
        typer.echo(f"{batch}: {progress_line(status)}")
    if code == SOME_FAILED:
        screen.note(f"why they failed: impasto failures {batch}")
    elif code == CANCELLED:
        screen.note("it was cancelled")
    if status.done:
        screen.note(f"the results: impasto fetch {batch} -o FOLDER")
    return code
