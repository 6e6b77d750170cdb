"""The demonstration's batch as it goes: bars on a terminal, a line a change elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from impasto.shared.ledger import BatchStatus, RunningPair


class BatchBars:
    """One bar for the batch, one for the pair under way. A context manager; `names` are the pairs' names."""

    def __init__(self, console: Console, names: Mapping[int, str]) -> None:
        self._console = console
        self._names = names
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._batch = self._bars.add_task("pictures", total=len(names), note="the worker is starting")
        self._pair = self._bars.add_task("", total=None, visible=False, note="")
        self._told = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, status: BatchStatus, running: Sequence[RunningPair]) -> None:
        """The batch as it stands now."""
        note = "" if status.workers else "the worker is starting"
        if status.eta_seconds is not None and not status.is_over:
            note = f"about {status.eta_seconds:.0f} s more"
        self._bars.update(self._batch, completed=status.settled, note=note)
        if running:
            self._show_pair(running[0])
        else:
            self._bars.update(self._pair, visible=False)
        if not self._console.is_terminal and status.settled > self._told:
            self._told = status.settled
            self._console.print(f"{status.settled} of {status.total} pictures", highlight=False)

    def _show_pair(self, pair: RunningPair) -> None:
        step, steps, loss = (pair.progress.get(name) for name in ("step", "steps", "loss"))
        self._bars.update(
            self._pair,
            description=self._names.get(pair.pair, f"pair {pair.pair}"),
            completed=step if isinstance(step, int) else 0,
            total=steps if isinstance(steps, int) else None,
            note=f"loss {loss:.4g}" if isinstance(loss, int | float) else "",
            visible=True,
        )
