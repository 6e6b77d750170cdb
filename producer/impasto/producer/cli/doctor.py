"""`impasto doctor`: would a batch run now, and if not, what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from impasto.producer.cli.answers import as_json
from impasto.producer.cli.options import JsonOption
from impasto.shared.deployment import Deployment

if TYPE_CHECKING:
    from impasto.producer.doctor import Diagnosis

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(json_: JsonOption = False) -> None:
    """Check Redis, store, workers and weights; exit code 0 only when a submitted batch would run now."""
    from impasto.producer.doctor import examine

    diagnosis = examine(Deployment.load())
    if json_:
        as_json(diagnosis.to_json())
    else:
        _show(diagnosis, Console())
    raise typer.Exit(0 if diagnosis.ok else 1)


def _show(diagnosis: Diagnosis, console: Console) -> None:
    if not console.is_terminal:
        width = max(len(check.name) for check in diagnosis.checks)
        for check in diagnosis.checks:
            typer.echo(f"{check.status:8} {check.name:{width}} {check.detail}")
            if check.mend:
                typer.echo(f"{'':{9 + width}} → {check.mend}")
    else:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("", "check", "found"):
            table.add_column(column, header_style="dim", overflow="fold")
        for check in diagnosis.checks:
            found = Text(check.detail)
            if check.mend:
                found.append(f"\n→ {check.mend}", style="dim")
            table.add_row(Text(check.status, style=_STYLES[check.status]), check.name, found)
        console.print(table)
    verdict = "A batch would run now." if diagnosis.ok else "A batch would not run now."
    console.print(Text(verdict, style=_STYLES["ok" if diagnosis.ok else "failed"]))
