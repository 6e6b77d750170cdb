"""`impasto up`: everything on this machine."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from impasto.shared.deployment import Deployment


def up(
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=256, help="How many worker processes. [default: one a GPU, else one]"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [default: IMPASTO_DEVICE or auto]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="The embedded server's port. [default: the one it had, or any free]"
        ),
    ] = None,
) -> None:
    """Run everything on this machine: a server, workers, a folder as the store. Ctrl-C stops it.

    With no settings at all: Valkey with an append-only file, pictures and logs under IMPASTO_STATE.
    IMPASTO_REDIS_URL and IMPASTO_STORE_URL put a server or a store of yours in their place.
    """
    from impasto.producer.local.up import run_up

    overrides = {} if device is None else {"device": device}
    deployment = Deployment.load(**overrides)
    run_up(deployment, workers=workers, port=port, console=Console(stderr=True))
