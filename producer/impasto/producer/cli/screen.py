"""What goes to stderr: notes, and progress as bars on a terminal and as a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from impasto.producer.cli.answers import duration, progress_line
from impasto.producer.collect import OnProgress
from impasto.producer.collect import Progress as Step
from impasto.producer.watch import Update
from impasto.shared.ledger import RunningPair
from impasto.shared.printable import printable

NameOf = Callable[[RunningPair], str]

LINE_EVERY_SECONDS: Final = 10.0
_RUNNING_SHOWN: Final = 16
_NAME_CHARACTERS: Final = 44
_NAME_SHARE: Final = 4
"""A name takes a fourth of the terminal at most: the numbers beside it must never be cut off."""

_VERBS: Final = {
    "contents": "checked",
    "styles": "checked",
    "outputs": "fetched",
    "results": "checked",
    "objects": "removed",
    "thumbnails": "there",
}


class Screen:
    """Notes and progress for people. `quiet` leaves only errors, `progress` False only notes."""

    def __init__(self, *, quiet: bool = False, progress: bool = True) -> None:
        self._quiet = quiet
        self._progress = progress and not quiet
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @property
    def _bars(self) -> bool:
        return self._progress and self._console.is_terminal

    def note(self, text: str) -> None:
        """One line, unless quiet."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """One line, quiet or not."""
        self._console.print(Text(one_line(text)))

    @contextmanager
    def transfer(self) -> Iterator[OnProgress]:
        """A bar (or lines) a stage of collecting or fetching."""
        if not self._bars:
            yield _Lines(self).transfer
            return
        with _progress(self._console, TransferSpeedColumn(), TimeRemainingColumn()) as bars:
            tasks: dict[str, TaskID] = {}

            def show(step: Step) -> None:
                if step.stage not in tasks:
                    tasks[step.stage] = bars.add_task(step.stage, total=step.bytes_total, told="")
                told = f"{step.items:,} of {step.items_total:,}, {megabytes(step.bytes)}"
                task = tasks[step.stage]
                bars.update(task, completed=step.bytes, told=told)
                if step.items == step.items_total:
                    bars.update(task, completed=step.bytes_total)

            yield show

    @contextmanager
    def watching(self, name_of: NameOf) -> Iterator[Watching]:
        """Bars (or lines) of a batch: the whole, and one a running pair."""
        if not self._bars:
            yield _Lines(self)
            return
        with _progress(self._console) as bars:
            yield _Bars(bars, name_of, min(_NAME_CHARACTERS, self._console.width // _NAME_SHARE))

    @property
    def shows_progress(self) -> bool:
        return self._progress


def _progress(console: Console, *more: ProgressColumn) -> Progress:
    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
    )
    told = TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True))
    return Progress(name, BarColumn(), told, *more, console=console, refresh_per_second=8)


def _shortened(name: str, cells: int) -> str:
    text = Text(printable(name))
    text.truncate(cells, overflow="ellipsis")
    return text.plain


class Watching(Protocol):
    """Shows updates of a batch."""

    def show(self, update: Update) -> None: ...


class _Bars:
    def __init__(self, bars: Progress, name_of: NameOf, name_cells: int) -> None:
        self._bars = bars
        self._name_of = name_of
        self._name_cells = name_cells
        self._batch: TaskID | None = None
        self._pairs: dict[int, TaskID] = {}

    def show(self, update: Update) -> None:
        status = update.status
        if self._batch is None:
            self._batch = self._bars.add_task(_shortened(status.name, self._name_cells), told="")
        self._bars.update(
            self._batch,
            total=status.total,
            completed=status.settled,
            told=progress_line(status, running=False),
        )
        shown = {pair.pair: pair for pair in update.running[:_RUNNING_SHOWN]}
        for gone in self._pairs.keys() - shown.keys():
            self._bars.remove_task(self._pairs.pop(gone))
        for number, pair in shown.items():
            if number not in self._pairs:
                self._pairs[number] = self._bars.add_task(
                    f"  {_shortened(self._name_of(pair), self._name_cells - 2)}", total=None, told=""
                )
            told = pair.progress
            self._bars.update(
                self._pairs[number],
                total=told.get("steps"),
                completed=told.get("step", 0),
                told=_pair_told(pair),
            )


class _Lines:
    """For logs: whole lines, no control characters, now and then, and when it is over."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last_at = self._stage_from = time.monotonic()
        self._last_line = self._stage = ""

    def show(self, update: Update) -> None:
        line = progress_line(update.status)
        first, over = not self._last_line, update.status.is_over
        if (first or over or self._is_time()) and line != self._last_line:
            self._print(line)

    def transfer(self, step: Step) -> None:
        """One line a stage at its end, and more, with rate and time left, when it takes long."""
        if step.stage != self._stage:
            self._stage, self._stage_from = step.stage, time.monotonic()
        is_last = step.items == step.items_total
        if is_last or self._is_time():
            self._print(
                f"{step.stage}: {step.items:,} of {step.items_total:,} {_VERBS[step.stage]}, "
                f"{megabytes(step.bytes)} of {megabytes(step.bytes_total)}"
                f"{'' if is_last else self._pace(step)}"
            )

    def _pace(self, step: Step) -> str:
        rate = step.bytes / max(1e-3, time.monotonic() - self._stage_from)
        if not rate:
            return ""
        left_seconds = (step.bytes_total - step.bytes) / rate
        return f", {megabytes(round(rate))}/s, about {duration(left_seconds)} left"

    def _is_time(self) -> bool:
        return time.monotonic() - self._last_at >= LINE_EVERY_SECONDS

    def _print(self, line: str) -> None:
        self._last_at, self._last_line = time.monotonic(), line
        if self._screen.shows_progress:
            self._screen.note(line)


def _pair_told(pair: RunningPair) -> str:
    told = pair.progress
    if "step" not in told:
        return "starting"
    loss = told.get("loss")
    return f"step {told['step']} of {told.get('steps', '?')}" + (
        f"  loss {loss:.4g}" if isinstance(loss, int | float) else ""
    )


def one_line(text: str) -> str:
    """What can't be printed escaped, nothing cut off."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(count: int, thing: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def megabytes(count: int) -> str:
    """`4.2 MB`, `1.3 GB`."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


@contextmanager
def interruptible(what_stands: str) -> Iterator[None]:
    """Ctrl-C ends the command with 130 and one line on what stands; an interrupt may know better."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        print(f"impasto: interrupted: {str(interrupt) or what_stands}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(130) from None


def left(eta_seconds: float | None) -> str:
    """The time that is left, for a column."""
    return "" if eta_seconds is None else duration(eta_seconds)
