"""`impasto gallery`: a batch as a page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.options import BatchArgument, JsonOption, NoProgressOption, QuietOption
from impasto.producer.cli.screen import Screen, counted, interruptible
from impasto.producer.client import Client
from impasto.shared.printable import printable


def gallery(
    batch: BatchArgument = "latest",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FOLDER", help="Where to; made if it is not there. [default: ./gallery-BATCH]"
        ),
    ] = None,
    put: Annotated[
        bool, typer.Option("--put", help="Into the store, beside the batch's files, instead of a folder.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Make a page of a batch: contact sheet, compare slider, filters, failures, settings.

    It needs no server: it opens from a folder and, with --put, from the store. Pictures are brought into the
    folder as `impasto fetch` does, or used where that brought them. Run again, it makes only what is new: the
    batch may still run.
    """
    if put and to is not None:
        raise typer.BadParameter("--put and --to name two places: give one of them")
    screen = Screen(quiet=quiet, progress=not no_progress)
    with Client() as client, interruptible("what was made stays; run it again to go on"):
        found = client.find(batch)
        folder = None if put else to or Path(f"gallery-{found}")
        with screen.transfer() as on_progress:
            made = client.gallery(found, folder, on_progress=on_progress)
    for problem in made.problems:
        screen.note(f"shown as missing: {printable(problem)}")
    if json_:
        as_json(
            {
                "batch": made.batch,
                "index": made.index,
                "url": made.url,
                "pairs": made.pairs,
                "pictures": made.pictures,
                "failed": made.failed,
                "thumbnails_made": made.made,
                "state": made.state.value,
                "problems": list(made.problems),
            }
        )
    else:
        failed = f", {made.failed:,} failed" if made.failed else ""
        typer.echo(
            f"{counted(made.pictures, 'picture')} of {counted(made.pairs, 'pair')}{failed}: {made.url}"
        )
    if not made.is_over:
        screen.note(f"the batch is not over: run it again later for the rest (impasto watch {made.batch})")
    if made.url.startswith("http"):
        screen.note("it opens for whoever may read the bucket there")
    if open_ and not webbrowser.open(made.url):
        screen.note("no browser is to be found here: open the address by hand")
