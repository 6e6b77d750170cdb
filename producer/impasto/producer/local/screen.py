"""What `impasto up` shows: what runs where, what to type next, and its children's words as they come."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import platformdirs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from impasto.producer.local.hardware import WorkerPlan
from impasto.producer.local.valkey import server_version
from impasto.shared.deployment import Deployment, mask_url


def say(console: Console, line: str) -> None:
    """One line of the supervisor's own; a terminal that is gone must stop nobody."""
    with suppress(OSError):
        console.print(Text("impasto ", style="bold").append(line, style="not bold"), soft_wrap=True)


def echo(console: Console, name: str, line: str) -> None:
    """One line that a child wrote, colours and all."""
    text = (
        Text(f"{name:<9}", style="dim").append_text(Text("│ ", style="dim")).append_text(Text.from_ansi(line))
    )
    with suppress(OSError):
        console.print(text, soft_wrap=True)


def welcome(
    console: Console,
    deployment: Deployment,
    plans: Sequence[WorkerPlan],
    facts: dict[str, Any],
    *,
    embedded: bool,
) -> None:
    """What runs where, and what to type next. `facts`: the server's INFO."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    kept = f"append-only file in {deployment.state / 'valkey'}" if embedded else "not ours: IMPASTO_REDIS_URL"
    table.add_row("server", f"{server_version(facts)} at {mask_url(deployment.redis_url or '')}, {kept}")
    table.add_row("store", mask_url(deployment.store_url or ""))
    for plan in plans:
        table.add_row(plan.name, f"{plan.device}, {plan.threads} CPU thread{'s' * (plan.threads > 1)}")
    if not plans:
        table.add_row("workers", "none")
    table.add_row("beat", "fires schedules: impasto schedule add")
    table.add_row("logs", str(deployment.state / "logs"))
    console.print()
    console.print(Text("Impasto is up.", style="bold green"))
    console.print(table)
    console.print()
    console.print(Text("Next, in another terminal:", style="bold"))
    if deployment.state != platformdirs.user_state_path("impasto"):
        console.print(
            f"  export IMPASTO_STATE={shlex.quote(str(deployment.state))}", soft_wrap=True, markup=False
        )
    console.print(
        "  impasto submit --contents photos/ --styles paintings/ --watch", soft_wrap=True, markup=False
    )
    console.print(Text("Ctrl-C stops everything here.", style="dim"))
    console.print()
