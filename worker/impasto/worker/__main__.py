"""`python -m impasto.worker`: what `impasto worker` and `impasto up` start."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

from impasto.shared.deployment import Deployment
from impasto.shared.errors import ImpastoError

cli = typer.Typer(name="impasto worker", add_completion=False, pretty_exceptions_enable=False)

Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda:N. [default: IMPASTO_DEVICE or auto]")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads. [default: IMPASTO_THREADS or all cores]")
]


def _deployment(device: str | None, threads: int | None) -> Deployment:
    overrides: dict[str, Any] = {"device": device, "threads": threads}
    deployment = Deployment.load(**{k: v for k, v in overrides.items() if v is not None})
    if deployment.threads is not None:
        # OpenMP reads it once, when torch is imported; threads beyond the cores spin against each other.
        os.environ["OMP_NUM_THREADS"] = str(deployment.threads)
    return deployment


@cli.command()
def run(device: Device = None, threads: Threads = None) -> None:
    """Take pairs from the queue until told to stop (SIGTERM or Ctrl-C; twice: at once)."""
    deployment = _deployment(device, threads)
    from impasto.shared.logs import configure_logging
    from impasto.worker.process import run_worker

    configure_logging(deployment.log_level, deployment.log_format)
    raise typer.Exit(run_worker(deployment))


@cli.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="answer in JSON")] = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Load the network as a worker would, and say whether it could work here."""
    deployment = _deployment(device, threads)
    from impasto.shared.logs import configure_logging
    from impasto.worker.check import check_worker

    configure_logging("warning", deployment.log_format)
    checks = check_worker(deployment)
    ok = all(item["ok"] for item in checks)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": checks}))
    else:
        for item in checks:
            typer.echo(f"{'ok' if item['ok'] else 'FAILED':8}{item['name']:10}{item['detail']}")
    raise typer.Exit(0 if ok else 1)


def main() -> None:
    """Errors that Impasto foresees end with one line and their own exit code."""
    try:
        cli()
    except ImpastoError as error:
        typer.echo(f"impasto worker: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
