"""`impasto purge`: old batches leave."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import typer

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.options import JsonOption, NoProgressOption, QuietOption, known_batches
from impasto.producer.cli.screen import Screen, counted, interruptible, megabytes
from impasto.producer.client import Client
from impasto.producer.purge import Purged
from impasto.shared.printable import printable

_SECONDS: Final = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def purge(
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BATCH]...",
            help="Ids or their beginnings, or 'latest'.",
            autocompletion=known_batches,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="30d", help="All that have been over for so long: hours (h), days (d), weeks (w)."
        ),
    ] = None,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Also remove their pictures, metadata and files from the store.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    no_progress: NoProgressOption = False,
) -> None:
    """Forget batches that are over. Their pictures stay in the store unless --outputs.

    Inputs stay in any case, since other batches may use them.
    """
    if not batches and older_than is None:
        raise typer.BadParameter("say which: batches, or --older-than 30d")
    seconds = None if older_than is None else age_seconds(older_than)
    screen = Screen(quiet=quiet, progress=not no_progress)
    stands = "what is gone is gone; run it again to go on"
    with Client() as client, interruptible(stands):
        would_go = client.purge(batches or (), older_than_seconds=seconds, outputs=outputs, dry_run=True)
        if dry_run or not would_go:
            _tell(would_go, outputs=outputs, dry_run=dry_run, as_json_=json_)
            return
        if not yes:
            _ask(would_go, outputs=outputs)
        with screen.transfer() as on_progress:
            purged = client.purge([one.batch for one in would_go], outputs=outputs, on_progress=on_progress)
    _tell(purged, outputs=outputs, dry_run=False, as_json_=json_)


def _ask(would_go: list[Purged], *, outputs: bool) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to ask: add --yes, or --dry-run to see what would go")
    what = counted(len(would_go), "batch") if len(would_go) == 1 else f"{len(would_go):,} batches"
    pictures = (
        f" and {counted(sum(one.objects for one in would_go), 'object')} in the store" if outputs else ""
    )
    typer.confirm(f"Purge {what}{pictures}?", abort=True, err=True)


def _tell(purged: list[Purged], *, outputs: bool, dry_run: bool, as_json_: bool) -> None:
    if as_json_:
        as_json(
            {
                "purged": [
                    {"batch": one.batch, "name": one.name, "objects": one.objects, "bytes": one.bytes}
                    for one in purged
                ],
                "outputs": outputs,
                "dry_run": dry_run,
            }
        )
        return
    if not purged:
        typer.echo("nothing to purge")
    verb = "would be purged" if dry_run else "purged"
    for one in purged:
        stored = f", {counted(one.objects, 'object')} ({megabytes(one.bytes)})" if outputs else ""
        typer.echo(f"{one.batch} {verb}: {printable(one.name)}{stored}")


def age_seconds(text: str) -> float:
    """`36h`, `30d` or `2w` in seconds. Raises typer.BadParameter."""
    age = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([hdw])", text.strip())
    if age is None:
        raise typer.BadParameter(f"'{text}' is no age: write 36h, 30d or 2w")
    return float(age[1]) * _SECONDS[age[2]]
