from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from impasto.producer.local import supervisor as supervision
from impasto.producer.local.processes import born
from impasto.producer.local.supervisor import MARKS_FILE, Backoff, Program, Supervisor
from impasto.shared.errors import NotRunning

PATIENCE_SECONDS = 30.0
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def python(name: str, code: str, *, grace_seconds: float = 10.0) -> Program:
    return Program(name, (sys.executable, "-I", "-S", "-c", code), grace_seconds=grace_seconds)


class Watched(Supervisor):
    """A supervisor that keeps what it said and what its children wrote, and is impatient."""

    def __init__(self, state: Path) -> None:
        self.said: list[str] = []
        self.echoed: list[tuple[str, str]] = []
        super().__init__(
            state,
            say=self.said.append,
            echo=lambda name, line: self.echoed.append((name, line)),
            backoff=lambda: Backoff(first_seconds=0.02, longest_seconds=0.08),
        )

    def run_until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.run(lambda: true() or time.monotonic() > deadline)
        assert true(), "it did not happen in time"


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path)
    yield one
    one.stop(hurry=lambda: True)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_child_that_dies_is_started_again_and_again_and_each_time_is_told(supervisor: Watched) -> None:
    supervisor.start(python("worker-1", "raise SystemExit(78)"))

    supervisor.run_until(lambda: len(supervisor.exit_codes("worker-1")) >= 5)

    assert set(supervisor.exit_codes("worker-1")) == {78}
    assert all("worker-1 ended (exit code 78)" in line and "\n" not in line for line in supervisor.said)
    waits = [line.partition("again in ")[2].partition(" s")[0] for line in supervisor.said]
    assert waits[:5] == ["0.02", "0.04", "0.08", "0.08", "0.08"]


def test_a_child_that_ends_well_is_started_again_too(supervisor: Watched) -> None:
    supervisor.start(python("worker-1", "pass"))

    supervisor.run_until(lambda: supervisor.exit_codes("worker-1")[:2] == [0, 0])


def test_a_killed_child_comes_back_as_another_process_and_the_other_stays(supervisor: Watched) -> None:
    supervisor.start(python("one", SLEEPER))
    supervisor.start(python("two", SLEEPER))
    supervisor.run_until(lambda: len(supervisor.echoed) == 2)
    one, two = supervisor.pid("one"), supervisor.pid("two")
    assert one is not None

    os.kill(one, signal.SIGKILL)
    supervisor.run_until(lambda: supervisor.pid("one") not in (None, one))

    assert supervisor.pid("two") == two
    assert supervisor.exit_codes("one") == [-signal.SIGKILL]
    assert "SIGKILL" in supervisor.said[0]


def test_stopping_ends_all_of_them_politely_and_starts_none_again(supervisor: Watched) -> None:
    polite = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    for name in ("one", "two", "three"):
        supervisor.start(python(name, polite))
    supervisor.run_until(lambda: len(supervisor.echoed) == 3)
    pids = [supervisor.pid(name) for name in ("one", "two", "three")]

    supervisor.stop()
    supervisor.poll()

    assert all(pid is not None and not psutil.pid_exists(pid) for pid in pids)
    assert sorted(line for _, line in supervisor.echoed) == ["bye"] * 3 + ["up"] * 3
    assert supervisor.said == []


def test_a_child_that_will_not_end_is_killed_after_its_grace(supervisor: Watched) -> None:
    supervisor.start(python("stubborn", STUBBORN, grace_seconds=0.2))
    supervisor.run_until(lambda: len(supervisor.echoed) == 1)
    pid = supervisor.pid("stubborn")

    supervisor.stop()

    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert supervisor.said == ["stubborn did not end within 0.2 s: killed"]


def test_in_a_hurry_nobody_gets_a_grace(supervisor: Watched) -> None:
    supervisor.start(python("stubborn", STUBBORN, grace_seconds=3600))
    supervisor.run_until(lambda: len(supervisor.echoed) == 1)
    pid = supervisor.pid("stubborn")

    supervisor.stop(hurry=lambda: True)

    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_full_disk_ends_nobody_and_is_told_once(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(supervision, "write_private", full)
    supervisor.start(python("one", SLEEPER))
    supervisor.start(python("two", SLEEPER))
    pid = supervisor.pid("one")
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    supervisor.run_until(lambda: supervisor.pid("one") not in (None, pid))
    pids = [supervisor.pid("one"), supervisor.pid("two")]
    supervisor.stop(["one"])
    supervisor.stop()

    assert all(pid is not None and not psutil.pid_exists(pid) for pid in pids)
    assert sum("No space left on device" in line for line in supervisor.said) == 1


def test_only_those_that_are_named_are_stopped(supervisor: Watched) -> None:
    supervisor.start(python("worker-1", SLEEPER))
    supervisor.start(python("valkey", SLEEPER))

    supervisor.stop(["worker-1", "never-started"])

    assert supervisor.pid("valkey") is not None


def test_what_a_child_started_itself_does_not_outlive_a_kill(supervisor: Watched) -> None:
    parent = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(grandchild.pid, flush=True)\n"
        "time.sleep(600)"
    )
    supervisor.start(python("parent", parent, grace_seconds=0.1))
    supervisor.run_until(lambda: len(supervisor.echoed) == 1)
    grandchild = int(supervisor.echoed[0][1])

    supervisor.stop()

    wait_until(lambda: born(grandchild) is None)


def test_children_are_in_sessions_of_their_own_out_of_the_terminals_reach(supervisor: Watched) -> None:
    supervisor.start(python("one", SLEEPER))
    supervisor.run_until(lambda: len(supervisor.echoed) == 1)
    pid = supervisor.pid("one")

    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)


def test_all_that_a_child_wrote_is_in_its_log_over_its_restarts(supervisor: Watched) -> None:
    code = (
        "import sys; print('a word', flush=True); print('ein Wört', file=sys.stderr, flush=True); "
        "sys.stdout.buffer.write(b'\\xff\\n')"
    )
    supervisor.start(python("worker-1", code))
    supervisor.run_until(lambda: len(supervisor.exit_codes("worker-1")) >= 2)
    log = supervisor.log_path("worker-1")

    supervisor.stop()

    lines = log.read_text("utf-8").splitlines()
    assert lines.count("a word") >= 2
    assert lines.count("ein Wört") >= 2
    assert lines.count("�") >= 2
    assert log == log.parent.parent / "logs" / "worker-1.log"


def test_a_program_that_is_not_there_is_told_in_its_log_and_tried_again(supervisor: Watched) -> None:
    supervisor.start(Program("ghost", ("/no/such/program",)))

    supervisor.run_until(lambda: len(supervisor.exit_codes("ghost")) >= 2)

    assert supervisor.last_line("ghost") == "/no/such/program does not start: No such file or directory"


def test_a_folder_that_is_not_there_keeps_a_program_from_starting_at_all(
    supervisor: Watched, tmp_path: Path
) -> None:
    with pytest.raises(NotRunning, match="one can't be started"):
        supervisor.start(Program("one", (sys.executable,), folder=tmp_path / "missing"))


SUPERVISE = """
import sys
from pathlib import Path
from impasto.producer.local.supervisor import Program, Supervisor

supervisor = Supervisor(Path(sys.argv[1]), say=print, echo=lambda name, line: print(name, line, flush=True))
code = "import time; print('up', flush=True); time.sleep(600)"
for name in ("one", "two"):
    supervisor.start(Program(name, (sys.executable, "-I", "-S", "-c", code)))
supervisor.run(lambda: False)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's favour is Linux's")
def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert {process.stdout.readline(), process.stdout.readline()} == {"one up\n", "two up\n"}
        children = [child.pid for child in psutil.Process(process.pid).children()]
        process.kill()

    assert len(children) == 2
    wait_until(lambda: all(born(pid) is None for pid in children))


def test_children_that_outlived_their_supervisor_are_ended_by_the_next_one(
    supervisor: Watched, tmp_path: Path
) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SLEEPER],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as left,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", SLEEPER], stdout=subprocess.PIPE, start_new_session=True
        ) as stranger,
    ):
        try:
            # The stranger has got the pid of a child that ended long ago.
            marks = [(left.pid, born(left.pid)), (stranger.pid, "12345")]
            (tmp_path / MARKS_FILE).write_text(json.dumps(marks))

            ended = supervisor.end_what_was_left()

            assert ended == [left.pid]
            assert left.wait(PATIENCE_SECONDS) == -signal.SIGTERM
            assert stranger.poll() is None
            assert supervisor.end_what_was_left() == []
        finally:
            left.kill()
            stranger.kill()


@pytest.mark.parametrize("text", ["", "{", "[1]", "[[1]]", '[["x", 2, 3]]', "null"])
def test_damaged_marks_end_nobody(supervisor: Watched, tmp_path: Path, text: str) -> None:
    (tmp_path / MARKS_FILE).write_text(text)

    assert supervisor.end_what_was_left() == []
