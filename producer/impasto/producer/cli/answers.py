"""What goes to stdout: answers for people and, as JSON on one line each, for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.text import Text

from impasto.shared.ledger import BatchState, BatchStatus

DONE, SOME_FAILED, CANCELLED = 0, 1, 3
"""Exit codes of what waits for a batch's outcome."""


def as_json(answer: dict[str, Any]) -> None:
    """One answer, one line, in ASCII whatever the terminal."""
    typer.echo(json.dumps(answer))


def as_columns(rows: Iterable[Sequence[str]], *, cells: int | None = None, whole: int = 0) -> None:
    """Aligned columns. Lines are cut at `cells`, if that is given, but never the first `whole` columns."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    least = sum(widths[:whole]) + 2 * whole + 1
    for row in table:
        line = Text("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if cells is not None:
            line.truncate(max(cells, least), overflow="ellipsis")
        typer.echo(line.plain)


def terminal_cells() -> int | None:
    """The width of the terminal that stdout is, None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def outcome(status: BatchStatus) -> int:
    """The exit code that tells how a batch ended."""
    if status.state is BatchState.CANCELLED:
        return CANCELLED
    return SOME_FAILED if status.failed else DONE


def status_fields(status: BatchStatus, running: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The public form of a status; `running` is left out where nobody asked."""
    fields: dict[str, Any] = {
        "batch": status.batch,
        "name": status.name,
        "state": status.state.value,
        "counts": status.counts(),
        "eta_seconds": None if status.eta_seconds is None else round(status.eta_seconds, 1),
        "priority": status.priority,
        "workers": status.workers,
        "busy_seconds": round(status.busy_seconds, 3),
        "created_at": timestamp(status.created_ms),
        "finished_at": None if status.finished_ms is None else timestamp(status.finished_ms),
    }
    if running is not None:
        fields["running"] = running
    return fields


def timestamp(at_ms: int) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """`41 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def counts_line(status: BatchStatus, *, running: bool = True) -> str:
    """`12 of 48 done, 1 failed, 2 running`; the last is left out where they are listed anyway."""
    parts = [f"{status.done} of {status.total} done"]
    parts += [
        f"{count} {word}"
        for count, word in (
            (status.failed, "failed"),
            (status.cancelled, "cancelled"),
            (status.running if running else 0, "running"),
        )
        if count
    ]
    return ", ".join(parts)


def progress_line(status: BatchStatus, *, running: bool = True) -> str:
    """The counts, and what there is to expect: `…, about 3 min left`."""
    line = counts_line(status, running=running)
    if status.state is BatchState.PAUSED:
        return f"{line}, paused"
    if status.is_over:
        return line
    if not status.workers:
        return f"{line}, no worker is alive"
    if status.eta_seconds is not None:
        return f"{line}, about {duration(status.eta_seconds)} left"
    return line
