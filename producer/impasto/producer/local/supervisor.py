"""Keeps programs running: what dies is started again, with growing patience, until it is told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from impasto.producer.local import child
from impasto.producer.local.logs import ChildLog, Echo
from impasto.producer.local.processes import born, end_leftovers
from impasto.producer.local.runfile import write_private
from impasto.shared.errors import NotRunning

_POLL_SECONDS: Final = 0.05
MARKS_FILE: Final = "children.json"


@dataclass(frozen=True)
class Program:
    """What to run. `environment` is all of it; `folder` is where it works; None: ours.

    `grace_seconds` is how long it may take to end after SIGTERM; `orphan_signal` is what the kernel sends
    it when the supervisor dies. `hopeless` are exit codes of a first life after which it stays down.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    grace_seconds: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL
    hopeless: frozenset[int] = frozenset()


@dataclass
class Backoff:
    """How long to wait before the next start: doubling, reset by a long enough life, without an end."""

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    reset_seconds: float = 60.0
    _next_seconds: float | None = None

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait after a life of that length."""
        if self._next_seconds is None or lived_seconds >= self.reset_seconds:
            self._next_seconds = self.first_seconds
        wait_seconds = self._next_seconds
        self._next_seconds = min(2 * wait_seconds, self.longest_seconds)
        return wait_seconds


@dataclass
class _Child:
    program: Program
    log: ChildLog
    backoff: Backoff
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    starts_again: float | None = None
    exit_codes: list[int] = field(default_factory=list)


class Supervisor:
    """Children in sessions of their own, so that the terminal's Ctrl-C is the supervisor's alone.

    All methods belong to the thread that made it: on Linux a child ends with the thread that started it.
    `say` gets one line whenever a child dies or does not start; `echo` every line that children write.
    """

    def __init__(
        self,
        state: Path,
        *,
        say: Callable[[str], None],
        echo: Echo,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._marks = state / MARKS_FILE
        self._logs = state / "logs"
        self._say = say
        self._echo = echo
        self._backoff = backoff
        self._children: dict[str, _Child] = {}
        self._marks_fail = False

    def end_what_was_left(self) -> list[int]:
        """End the children of a supervisor that died on this state folder; which pids were ended."""
        try:
            marks = [(int(pid), str(since)) for pid, since in json.loads(self._marks.read_text("utf-8"))]
        except (OSError, ValueError, TypeError):
            return []
        ended = end_leftovers(marks)
        with contextlib.suppress(OSError):
            self._marks.unlink(missing_ok=True)
        return ended

    def start(self, program: Program) -> None:
        """Run it, and go on running it. Raises NotRunning when it can't be started at all."""
        log = ChildLog(self._logs, program.name, self._echo)
        one = self._children[program.name] = _Child(program, log, self._backoff())
        self._spawn(one)

    def _spawn(self, one: _Child) -> None:
        program = one.program
        wrapper = (
            sys.executable,
            "-I",
            "-S",
            child.__file__,
            str(os.getpid()),
            str(int(program.orphan_signal)),
        )
        try:
            one.process = subprocess.Popen(  # noqa: S603
                (*wrapper, *program.command),
                env=program.environment,
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise NotRunning(f"{program.name} can't be started: {error}") from error
        one.started = time.monotonic()
        one.starts_again = None
        if one.process.stdout is not None:
            one.log.follow(one.process.stdout)
        self._write_marks()

    def poll(self) -> None:
        """See who died, and start again whose time has come."""
        now = time.monotonic()
        for one in self._children.values():
            if one.process is not None and (code := one.process.poll()) is not None:
                lived_seconds = now - one.started
                one.process = None
                one.exit_codes.append(code)
                again = ""
                if len(one.exit_codes) > 1 or code not in one.program.hopeless:
                    wait_seconds = one.backoff.after(lived_seconds)
                    one.starts_again = now + wait_seconds
                    again = f"starting it again in {wait_seconds:g} s; "
                self._say(
                    f"{one.program.name} ended ({describe_exit(code)}) after {lived_seconds:.0f} s; "
                    f"{again}its log: {one.log.path}"
                )
            if one.starts_again is not None and now >= one.starts_again:
                self._start_again(one)

    def _start_again(self, one: _Child) -> None:
        try:
            self._spawn(one)
        except NotRunning as error:
            wait_seconds = one.backoff.after(0.0)
            one.starts_again = time.monotonic() + wait_seconds
            self._say(f"{error}; trying again in {wait_seconds:g} s")

    def run(self, until: Callable[[], bool]) -> None:
        """Keep all running until `until()` is true."""
        while not until():
            self.poll()
            time.sleep(_POLL_SECONDS)

    def exit_codes(self, name: str) -> list[int]:
        """How that child ended each time it did, oldest first."""
        return list(self._children[name].exit_codes)

    def pid(self, name: str) -> int | None:
        """That child's process, or None while it is not running."""
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def log_path(self, name: str) -> Path:
        """Where that child's words are kept."""
        return self._children[name].log.path

    def last_line(self, name: str) -> str:
        """The last line that child wrote; of one that has ended, its last words."""
        if self.pid(name) is None:
            self._children[name].log.settle()
        return self._children[name].log.last_line()

    def stop(self, names: Iterable[str] | None = None, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End those children, or all: SIGTERM, each one's grace, then SIGKILL; at once on `hurry()`."""
        wanted = self._children if names is None else names
        ending = [self._children.pop(name) for name in list(wanted) if name in self._children]
        processes = [(one.process, one.program) for one in ending if one.process is not None]
        for process, _ in processes:
            _signal(process, signal.SIGTERM)
        asked = time.monotonic()
        while any(process.poll() is None for process, _ in processes):
            for process, program in processes:
                overdue = time.monotonic() - asked > program.grace_seconds
                if process.poll() is None and (overdue or hurry()):
                    if overdue and not hurry():
                        self._say(f"{program.name} did not end within {program.grace_seconds:g} s: killed")
                    _signal(process, signal.SIGKILL)
                    process.wait()
            time.sleep(_POLL_SECONDS)
        for one in ending:
            one.log.close()
        self._write_marks()

    def _write_marks(self) -> None:
        """For whoever comes after a sudden end. A full disk is no reason to end, and is told once."""
        pids = [one.process.pid for one in self._children.values() if one.process is not None]
        marks = [(pid, since) for pid in pids if (since := born(pid)) is not None]
        try:
            if marks:
                write_private(self._marks, json.dumps(marks))
            else:
                self._marks.unlink(missing_ok=True)
        except OSError as error:
            if not self._marks_fail:
                self._say(
                    f"{self._marks} can't be written ({error.strerror or error}): make room on its disk; "
                    "all goes on, but who is killed now may leave children behind"
                )
            self._marks_fail = True
        else:
            self._marks_fail = False


def describe_exit(code: int) -> str:
    """A process's end in words; `code` as `subprocess` gives it, negative for a signal."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The whole session: what a child has started itself must not outlive it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
