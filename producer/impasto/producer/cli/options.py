"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer


def known_batches(incomplete: str) -> Iterator[str]:
    """For shell completion: ids that begin so; none when nothing answers."""
    from impasto.producer.client import LATEST, Client
    from impasto.shared.errors import ImpastoError

    try:
        with Client() as client:
            known = [LATEST, *client.connection.ledger.batches()]
    except ImpastoError:
        return
    yield from (batch for batch in known if batch.startswith(incomplete))


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
