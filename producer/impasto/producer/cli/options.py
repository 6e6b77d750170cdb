"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from impasto.producer.client import Client


def completing(ids: Callable[[Client], Iterable[str]]) -> Callable[[str], Iterator[str]]:
    """For shell completion: those of the ids that begin so; none when nothing answers."""

    def matching(incomplete: str) -> Iterator[str]:
        from impasto.producer.client import Client
        from impasto.shared.errors import ImpastoError

        try:
            with Client() as client:
                known = [*ids(client)]
        except ImpastoError:
            return
        yield from (id for id in known if id.startswith(incomplete))

    return matching


def _batches(client: Client) -> list[str]:
    from impasto.producer.client import LATEST

    return [LATEST, *client.connection.ledger.batches()]


known_batches = completing(_batches)


BatchArgument = Annotated[
    str,
    typer.Argument(
        metavar="BATCH",
        help="A batch's id, a beginning that only one has, or 'latest'.",
        autocompletion=known_batches,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON, one answer a line.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors: no notes, no progress.")
]
RecheckOption = Annotated[
    bool, typer.Option("--recheck", help="Read every file again, also those that have not changed since.")
]
NoProgressOption = Annotated[bool, typer.Option("--no-progress", help="No progress bars or lines.")]
