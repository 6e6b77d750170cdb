"""`python -m impasto.producer.demo`, which is `make demo`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from impasto.shared.errors import ImpastoError

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command()
def demo(
    size: Annotated[int, typer.Option(min=16, max=4096, help="Longer side of the pictures in pixels.")] = 256,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Evaluations a scale. [default: those of the preset gallery]")
    ] = None,
) -> None:
    """Restyle 3 photographs with 2 paintings through a real queue, into demo/ in this folder."""
    from impasto.producer.demo.run import run_demo, show

    folder = Path("demo")
    console = Console()
    made = run_demo(folder, size_px=size, steps=steps, console=console)
    show(made, folder.absolute(), console)


def keep_to_ourselves() -> None:
    """Take a deployment's settings out of this process and its children: the demo touches no other."""
    for name in list(os.environ):
        if name.startswith(("IMPASTO_", "AWS_")):
            del os.environ[name]
    # Its servers are on loopback, which no proxy reaches.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def main() -> None:
    """Errors that Impasto foresees end with one line and their own exit code."""
    keep_to_ourselves()
    try:
        cli()
    except ImpastoError as error:
        sys.stderr.write(f"impasto demo: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"impasto demo: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
