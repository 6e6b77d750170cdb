"""The demonstration: three photographs × two paintings through a real queue, and a sheet of what came."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from PIL import Image
from rich.console import Console
from rich.text import Text

from impasto.producer.cli.names import pair_name
from impasto.producer.cli.screen import Screen
from impasto.producer.client import Client
from impasto.producer.demo.contact_sheet import contact_sheet
from impasto.producer.demo.inputs import place_paintings, place_photographs
from impasto.producer.demo.stage import Stage, require_everything
from impasto.producer.local import screen
from impasto.producer.local.signals import StopSignals
from impasto.producer.local.supervisor import Supervisor
from impasto.producer.local.up import only_one
from impasto.producer.watch import Update
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ImpastoError, Stopped, TimedOut, Transient
from impasto.shared.ledger import BatchStatus
from impasto.shared.settings import StyleSettings

PRESET: Final = "gallery"
SIZE_PX: Final = 256
_LOOK_SECONDS: Final = 0.25
_STALL_SECONDS: Final = 600.0
_REPORT_SECONDS: Final = 60.0


class DemoFailed(ImpastoError):
    """Some pair of the demonstration ended without its picture; the message names each."""

    kind: ClassVar[str] = "demo_failed"


class Interrupted(Stopped):
    """Ctrl-C: everything was stopped."""

    exit_code = 130
    kind = "interrupted"


@dataclass(frozen=True)
class Made:
    """What came of the demonstration. `seconds` from the submission to the last picture."""

    pictures: tuple[Path, ...]
    sheet: Path
    report: Path
    seconds: float


def run_demo(folder: Path, *, size_px: int = SIZE_PX, steps: int | None = None, console: Console) -> Made:
    """Set the stage up, submit, wait, fetch, lay out; everything that was started is stopped at the end.

    Writes `inputs/`, `outputs/`, `report.json`, `contact-sheet.jpg` and the servers' files (`.state/`) under
    `folder`, over an earlier demonstration's. Raises DemoFailed naming the pairs that failed, Interrupted
    after SIGINT or SIGTERM, NotInstalled, NotRunning, BadSettings, TimedOut.
    """
    require_everything()
    settings = demo_settings(size_px, steps)
    folder = folder.absolute()
    state = folder / ".state"
    _refuse_foreign(folder, state)
    with StopSignals() as signals, only_one(state, "a demo", "run it in another folder"):
        supervisor = Supervisor(
            state, say=lambda line: screen.say(console, line), echo=lambda _name, _line: None
        )
        supervisor.end_what_was_left()
        _sweep_out(folder, state)
        stage = Stage(state, supervisor)
        try:
            return _perform(folder, stage, settings, signals.stopping, console)
        finally:
            stage.stop(signals.hurry)


def demo_settings(size_px: int, steps: int | None) -> StyleSettings:
    """The gallery preset at that size. `steps`: evaluations a scale at most, None: the preset's.

    Raises BadSettings.
    """
    fields: dict[str, Any] = {"size_px": size_px}
    preset = StyleSettings.preset(PRESET, **fields)
    if steps is not None:
        fields["steps"] = steps
        fields["coarse_steps"] = min(preset.coarse_steps, steps)
    if preset.coarsest_px is not None and preset.coarsest_px >= size_px:
        fields["coarsest_px"] = None
    return StyleSettings.preset(PRESET, **fields)


def _perform(
    folder: Path, stage: Stage, settings: StyleSettings, stopping: Callable[[], bool], console: Console
) -> Made:
    contents, styles, outputs = (folder / name for name in ("inputs/contents", "inputs/styles", "outputs"))
    console.print("Starting Valkey, an S3 server and a worker …", highlight=False)
    deployment = stage.start(stopping)
    if deployment is None:
        raise Interrupted("stopped")
    place_photographs(contents)
    console.print("Painting two styles …", highlight=False)
    place_paintings(styles)
    with Client(deployment) as client:
        _wait_for_worker(client, stage, stopping)
        submission = client.submit(
            _shown(contents), _shown(styles), settings=settings, name="demo", strict=True
        )
        batch = str(submission.batch)
        console.print(
            f"Submitted {submission.contents} photographs × {submission.styles} paintings "
            f"at {settings.size_px} px as batch {batch}",
            highlight=False,
        )
        began = time.monotonic()
        status = _wait(client, batch, stage, stopping)
        seconds = time.monotonic() - began
        _wait_for_report(client, batch, stage, stopping)
        fetched = client.fetch(batch, outputs)
        failed = [f"{f.content} × {f.style} ({f.message})" for f in client.failures(batch)]
    for name in ("report.json", "report.csv"):
        if (outputs / name).exists():
            (outputs / name).replace(folder / name)
    pictures = tuple(sorted(outputs.glob("*.png")))
    sheet = folder / "contact-sheet.jpg"
    _lay_out(contents, styles, pictures).save(sheet, quality=92)
    failed += fetched.problems
    if failed or len(pictures) != status.total:
        named = "; ".join(failed) or "their pictures are not in the store"
        raise DemoFailed(f"{status.total - len(pictures)} of {status.total} pairs have no picture: {named}")
    return Made(pictures, sheet, folder / "report.json", seconds)


def _wait_for_worker(client: Client, stage: Stage, stopping: Callable[[], bool]) -> None:
    """Until it has loaded its network; a batch would wait as well, but would look stuck."""
    deadline = time.monotonic() + _STALL_SECONDS
    while not client.connection.ledger.workers():
        _obey(stopping)
        if time.monotonic() > deadline:
            raise TimedOut(f"no worker was ready within {_STALL_SECONDS:g} s; logs are in {stage.logs}")
        stage.keep()
        time.sleep(_LOOK_SECONDS)


def _wait(client: Client, batch: str, stage: Stage, stopping: Callable[[], bool]) -> BatchStatus:
    """Until the batch is over, keeping the stage and showing how far it is."""
    last, changed = None, time.monotonic()
    with Screen().watching(partial(pair_name, client)) as bars:
        while True:
            _obey(stopping)
            stage.keep()
            update = _look(client, batch)
            if update is not None:
                bars.show(update)
                if update.is_last:
                    return update.status
                now = update.status.counts(), [pair.progress.get("step") for pair in update.running]
                if now != last:
                    last, changed = now, time.monotonic()
            if time.monotonic() - changed > _STALL_SECONDS:
                raise TimedOut(f"nothing moved for {_STALL_SECONDS:g} s; logs are in {stage.logs}")
            time.sleep(_LOOK_SECONDS)


def _look(client: Client, batch: str) -> Update | None:
    """None while the server is down for a moment; the stage restarts it."""
    ledger = client.connection.ledger
    try:
        return Update(ledger.status(batch), ledger.running(batch), ())
    except Transient:
        return None


def _wait_for_report(client: Client, batch: str, stage: Stage, stopping: Callable[[], bool]) -> None:
    """A worker writes it a moment after the last pair."""
    key = layout.report_key(batch, "json")
    deadline = time.monotonic() + _REPORT_SECONDS
    while client.connection.store.head(key) is None:
        _obey(stopping)
        if time.monotonic() > deadline:
            raise TimedOut(f"no report was written within {_REPORT_SECONDS:g} s; logs are in {stage.logs}")
        stage.keep()
        time.sleep(_LOOK_SECONDS)


def _obey(stopping: Callable[[], bool]) -> None:
    if stopping():
        raise Interrupted("stopped")


def _refuse_foreign(folder: Path, state: Path) -> None:
    """Somebody's own pictures in folders of these names are not ours to replace. Raises BadSettings."""
    foreign = [name for name in ("inputs", "outputs") if (folder / name).exists()]
    if foreign and not state.exists():
        raise BadSettings(
            f"{folder / foreign[0]} is there already and not from a demo: run it in another folder"
        )


def _sweep_out(folder: Path, state: Path) -> None:
    for name in ("inputs", "outputs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("report.json", "report.csv", "contact-sheet.jpg"):
        (folder / name).unlink(missing_ok=True)
    for name in ("valkey", "logs"):
        shutil.rmtree(state / name, ignore_errors=True)


def _lay_out(contents: Path, styles: Path, pictures: tuple[Path, ...]) -> Image.Image:
    results = {}
    for path in pictures:
        content, _, style = path.stem.partition("__")
        results[content, style] = _open(path)
    return contact_sheet(_named(contents), _named(styles), results)


def _named(folder: Path) -> list[tuple[str, Image.Image]]:
    return [(path.stem, _open(path)) for path in sorted(folder.iterdir())]


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def show(made: Made, folder: Path, console: Console) -> None:
    """What was made, how long it took, and what to type next."""
    console.print()
    count = len(made.pictures)
    console.print(
        Text(
            f"{count} pictures in {made.seconds:.0f} s, {made.seconds / count:.0f} s each.",
            style="bold green",
        )
    )
    lines = (
        ("all on one sheet", made.sheet),
        ("pictures, with their metadata", made.pictures[0].parent),
        ("report", made.report),
    )
    for what, path in lines:
        line = Text(f"  {_shown(path):<24} ").append(what, style="dim")
        console.print(line, soft_wrap=True)
    here = _command()
    contents, styles = (_shown(folder / "inputs" / name) for name in ("contents", "styles"))
    console.print()
    console.print(Text("Next, keep it running and give it pictures of your own:", style="bold"))
    console.print(
        f"  {here} up", Text("   (stays; in another terminal:)", style="dim"), sep="", highlight=False
    )
    console.print(
        f"  {here} submit --contents {contents} --styles {styles} --size 512 --watch",
        soft_wrap=True,
        highlight=False,
    )


def _relative(path: Path) -> Path:
    """As short as it can be said from here; inputs keep the names by which they were submitted."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _shown(path: Path) -> str:
    """As short as it can be typed from here."""
    return shlex.quote(str(_relative(path)))


def _command() -> str:
    """How to call the command line from this terminal."""
    beside = Path(sys.executable).parent / "impasto"
    if shutil.which("impasto") is None and beside.exists():
        return _shown(beside)
    return "impasto"
