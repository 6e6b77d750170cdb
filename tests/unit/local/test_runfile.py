from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.producer.local.processes import born
from impasto.producer.local.runfile import (
    RUN_FILE,
    Running,
    default_store_url,
    find_running,
    forget_running,
    locate,
    write_private,
    write_running,
)
from impasto.shared.deployment import Deployment
from impasto.shared.errors import NotRunning
from impasto.shared.store.open import file_path

URL = "redis://:secret@127.0.0.1:6400/0"


@pytest.fixture
def running(tmp_path: Path) -> Running:
    """This test's own process, announced."""
    running = Running.this_process(URL, "file:///pictures")
    write_running(tmp_path, running)
    return running


def test_what_was_announced_is_found_until_it_is_taken_back(tmp_path: Path, running: Running) -> None:
    assert find_running(tmp_path) == running

    forget_running(tmp_path)
    forget_running(tmp_path)

    assert find_running(tmp_path) is None


def test_run_json_has_the_documented_fields_and_is_its_owners_alone(tmp_path: Path, running: Running) -> None:
    file = tmp_path / RUN_FILE
    fields = json.loads(file.read_text())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert fields["pid"] == os.getpid()
    assert fields["redis_url"] == URL
    assert fields["store_url"] == "file:///pictures"
    assert fields["started_at"].endswith("+00:00")


def test_a_private_file_stays_private_when_one_that_all_can_read_was_there(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)

    write_private(file, "new")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_process_that_is_gone_is_not_found(tmp_path: Path, running: Running) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        gone = replace(running, pid=process.pid, born=born(process.pid) or "")
        write_running(tmp_path, gone)
        assert find_running(tmp_path) == gone

    assert find_running(tmp_path) is None


def test_a_process_that_ended_and_was_not_waited_for_is_gone(tmp_path: Path, running: Running) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = born(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert since is not None
        assert born(process.pid) is None
    finally:
        process.communicate()


def test_another_process_that_got_the_same_pid_is_not_taken_for_it(tmp_path: Path, running: Running) -> None:
    write_running(tmp_path, replace(running, born="12345"))

    assert find_running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x"}', '{"pid": 1}', "\x00"])
def test_a_damaged_run_json_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_FILE).write_text(text)

    assert find_running(tmp_path) is None


def test_commands_find_what_runs_here_and_settings_go_first(tmp_path: Path, running: Running) -> None:
    found = locate(Deployment(state=tmp_path))
    told = locate(Deployment(state=tmp_path, redis_url="redis://elsewhere/0", store_url="s3://bucket"))
    half = locate(Deployment(state=tmp_path, redis_url="redis://elsewhere/0"))

    assert (found.redis_url, found.store_url) == (URL, "file:///pictures")
    assert (told.redis_url, told.store_url) == ("redis://elsewhere/0", "s3://bucket")
    assert (half.redis_url, half.store_url) == (
        "redis://elsewhere/0",
        default_store_url(tmp_path),
    )


def test_where_nothing_runs_the_error_says_what_to_start_and_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match=r"impasto up.*IMPASTO_REDIS_URL") as caught:
        locate(Deployment(state=tmp_path))

    assert str(tmp_path) in str(caught.value)


def test_the_default_store_lies_in_the_state_folder_whatever_its_name(tmp_path: Path) -> None:
    state = tmp_path / "mit Leerzeichen & 100 %"

    assert file_path(default_store_url(state)) == state / "store"
