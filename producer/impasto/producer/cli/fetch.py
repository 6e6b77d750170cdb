"""`impasto fetch`: results into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from impasto.producer.cli.answers import SOME_FAILED, as_json
from impasto.producer.cli.options import BatchArgument, JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen, counted, interruptible, megabytes
from impasto.producer.client import Client
from impasto.shared.printable import printable


def fetch(
    batch: BatchArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to; made if it is not there.")
    ],
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Download a batch's pictures, each with its metadata beside it, and its report.

    Takes what is done so far. Run again, it brings what is new and repairs what was damaged: what lies there
    with the right digest is left alone.
    """
    screen = Screen(quiet=quiet, progress=not no_progress)
    stands = f"what was fetched stays in {output}; run it again to go on"
    with Client() as client, interruptible(stands):
        with screen.transfer() as on_progress:
            fetched = client.fetch(batch, output, on_progress=on_progress)
        status = client.status(fetched.batch)
    for problem in fetched.problems:
        screen.note(f"left out: {printable(problem)}")
    if json_:
        as_json(
            {
                "batch": fetched.batch,
                "folder": str(fetched.folder),
                "fetched": fetched.fetched,
                "already": fetched.already,
                "bytes": fetched.bytes,
                "missing": fetched.missing,
                "state": status.state.value,
                "problems": list(fetched.problems),
            }
        )
    else:
        verb = "was" if fetched.already == 1 else "were"
        already = f", {fetched.already:,} {verb} there already" if fetched.already else ""
        typer.echo(
            f"{counted(fetched.fetched, 'picture')} fetched to {printable(str(fetched.folder))} "
            f"({megabytes(fetched.bytes)}){already}"
        )
    if fetched.missing:
        why = (
            f" ({status.failed} failed, {status.cancelled} cancelled)"
            if status.is_over
            else f", so far; fetch again later (impasto watch {fetched.batch})"
        )
        screen.note(f"without a picture: {counted(fetched.missing, 'pair')}{why}")
    if fetched.problems:
        raise typer.Exit(SOME_FAILED)
