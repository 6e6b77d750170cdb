"""The application: its commands, its exit codes, and how errors reach people."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Final

import typer
from typer.main import get_command

from impasto.producer.cli import (
    beat,
    config,
    control,
    deadletters,
    doctor,
    estimate,
    failures,
    fetch,
    gallery,
    ingest,
    purge,
    recover,
    schedule,
    status,
    submit,
    up,
    versions,
    watch,
    webhooks,
    worker,
)
from impasto.producer.cli.screen import one_line
from impasto.producer.cli.style_options import ManyValues
from impasto.shared.errors import ImpastoError

USAGE: Final = 2
INTERNAL: Final = 70
INTERRUPTED: Final = 130
READER_LEFT: Final = 1

# Typer carries a copy of click in some releases and depends on it in others: this is UsageError in both.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="impasto",
    help="Restyle photographs with paintings, in batches: photographs × paintings → pictures with metadata.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up.up)
app.command(cls=ManyValues)(submit.submit)
app.command(cls=ManyValues)(estimate.estimate)
app.command(cls=ManyValues)(ingest.ingest)
app.command()(status.status)
app.command()(watch.watch)
app.command()(fetch.fetch)
app.command()(gallery.gallery)
app.command()(failures.failures)
app.command()(control.cancel)
app.command()(control.pause)
app.command()(control.resume)
app.command()(control.retry)
app.command()(control.priority)
app.command()(purge.purge)
app.command()(recover.recover)
app.command()(deadletters.deadletters)
app.command()(doctor.doctor)
app.command()(config.config)
app.command(context_settings=worker.PASS_ON)(worker.worker)
app.command()(beat.beat)
app.add_typer(schedule.app, name="schedule")
app.add_typer(webhooks.app, name="webhooks")
app.command("version")(versions.versions)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"impasto {version('impasto')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with every error. May stand anywhere.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer with its exit code; errors are one line on stderr."""
    args, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names from everywhere must not end a command on a terminal that knows few characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        answer = get_command(app).main(args or ["--help"], prog_name="impasto", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the answer went away; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else READER_LEFT
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, code = _told(error)
        print(f"impasto: {message}", file=sys.stderr)  # noqa: T201
        return code
    return answer if isinstance(answer, int) else 0


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """`--debug` is taken wherever it stands, but what follows `worker` or `--` is not ours."""
    args = list(arguments)
    ours = next((i for i, arg in enumerate(args) if arg in ("--", "worker")), len(args))
    return [arg for i, arg in enumerate(args) if i >= ours or arg != "--debug"], "--debug" in args[:ours]


def _told(error: Exception) -> tuple[str, int]:
    if isinstance(error, ImpastoError):
        return one_line(str(error)), error.exit_code
    if isinstance(error, _UsageError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "impasto"
        message = " ".join(getattr(error, "format_message", lambda: str(error))().split())
        return f"{message.rstrip('.')} (see {command} --help)", USAGE
    return one_line(f"internal error: {type(error).__name__}: {error} (--debug shows where)"), INTERNAL
