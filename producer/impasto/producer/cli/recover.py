"""`impasto recover`: the ledger from the store."""

from __future__ import annotations

from typing import Annotated

import typer

from impasto.producer.cli.answers import SOME_FAILED, as_json
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen, counted, interruptible
from impasto.producer.client import Client
from impasto.shared.printable import printable


def recover(
    batches: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BATCH]...", help="Ids or their beginnings; without: all that are lacking."),
    ] = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Rebuild from the store what Redis has lost, after it was emptied or replaced.

    What is done stays done, what was over ends as it had, and the rest runs. Schedules fire again. What Redis
    knows is not touched, unless an earlier recover was broken off in it.
    """
    screen = Screen(quiet=quiet, progress=not no_progress)
    stands = "what was rebuilt stays; run it again to go on"
    with Client() as client, interruptible(stands), screen.transfer() as on_progress:
        recovery = client.recover(batches or (), on_progress=on_progress)
    for problem in recovery.problems:
        screen.note(f"left out: {printable(problem)}")
    if recovery.passed_over:
        screen.note(f"passed over: {counted(len(recovery.passed_over), 'purged or outdated batch')}")
    for double, other in recovery.doubles.items():
        screen.note(
            f"passed over: {double} never ran, and {other} is the same submission; "
            f"`impasto recover {double}` runs it as well"
        )
    if json_:
        as_json(
            {
                "recovered": [
                    {
                        "batch": one.batch,
                        "name": one.name,
                        "total": one.total,
                        "done": one.done,
                        "state": one.state.value,
                    }
                    for one in recovery.recovered
                ],
                "known": recovery.known,
                "passed_over": list(recovery.passed_over),
                "doubles": dict(recovery.doubles),
                "problems": list(recovery.problems),
                "schedules": list(recovery.schedules),
            }
        )
    else:
        for one in recovery.recovered:
            typer.echo(f"{one.batch} is {one.state.value}: {one.done} of {one.total} were done already")
        for name in recovery.schedules:
            typer.echo(f"schedule {name} fires again")
        if not recovery.recovered and not recovery.schedules:
            typer.echo(f"nothing to recover: Redis knows {recovery.known} of the store's batches")
    if recovery.problems:
        raise typer.Exit(SOME_FAILED)
