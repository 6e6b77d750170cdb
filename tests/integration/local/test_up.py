from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from impasto.producer.local.processes import born
from impasto.producer.local.runfile import RUN_FILE, Running, find_running
from impasto.producer.local.valkey import Valkey, connect, free_port
from servers import RedisServer

PATIENCE_SECONDS = 60.0
STAND_INS = Path(__file__).with_name("up_with_stand_ins.py")


def wait_until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Up:
    """An `impasto up` on a state folder, with what it says kept in a file."""

    def __init__(self, state: Path, *arguments: str, **variables: str) -> None:
        self.state = state
        self.said = state.with_name(f"{state.name}-said-{time.monotonic_ns()}")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("IMPASTO_")}
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(STAND_INS), *arguments],
                env={**inherited, "IMPASTO_STATE": str(state), **variables},
                cwd=state.parent,
                stderr=said,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.said.read_text("utf-8")

    def wait_until_it_runs(self) -> Running:
        wait_until(lambda: self.process.poll() is not None or "Impasto is up" in self.text)
        running = find_running(self.state)
        assert running is not None, self.text
        return running

    def children(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running_up(state: Path, *arguments: str, **variables: str) -> Iterator[Up]:
    up = Up(state, *arguments, **variables)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.end()


@pytest.fixture(scope="module")
def shared_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One with two stand-ins for workers, for tests that only look."""
    with running_up(tmp_path_factory.mktemp("shared") / "state", "--workers", "2", "--device", "cpu") as up:
        up.wait_until_it_runs()
        wait_until(lambda: up.text.count("given") == 2)
        yield up


def test_the_server_keeps_an_append_only_file_never_evicts_and_wants_its_password(shared_up: Up) -> None:
    running = find_running(shared_up.state)
    assert running is not None
    with connect(running.redis_url) as client:
        settings = client.config_get("*")
    port = int(settings["port"])

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["bind"] == "127.0.0.1"
    with redis.Redis(port=port, retry=None) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_the_password_stands_in_no_command_line_and_in_no_file_that_others_can_read(shared_up: Up) -> None:
    running = find_running(shared_up.state)
    assert running is not None
    password = running.redis_url.partition(":@")[0].partition("://:")[2].partition("@")[0]
    assert len(password) >= 20

    for child in psutil.Process(shared_up.process.pid).children():
        assert password not in " ".join(child.cmdline())
    holding = [
        path
        for path in shared_up.state.rglob("*")
        if path.is_file() and password.encode() in path.read_bytes() and path.suffix != ".log"
    ]
    assert {path.name for path in holding} == {RUN_FILE, "valkey.conf"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holding)
    assert stat.S_IMODE(shared_up.state.stat().st_mode) == 0o700


def test_workers_are_given_the_addresses_and_their_share_of_the_cores(shared_up: Up) -> None:
    running = find_running(shared_up.state)
    assert running is not None
    given = [line.split()[-4:] for line in shared_up.text.splitlines() if "given" in line]

    for redis_url, store_url, threads, openmp in given:
        assert redis_url == running.redis_url
        assert store_url == running.store_url == (shared_up.state / "store").as_uri()
        assert int(threads) == int(openmp) >= 1


def test_the_start_screen_says_what_runs_and_what_to_type_next(shared_up: Up) -> None:
    text = shared_up.text

    assert "Impasto is up" in text
    assert "worker-2" in text
    assert "impasto submit --contents" in text
    assert f"IMPASTO_STATE={shared_up.state}" in text.replace("\n", "")
    shown = text.partition("Next, in another terminal")[0]
    assert "Valkey" in shown
    assert "********@127.0.0.1" in shown


def test_a_second_one_is_refused_in_one_line_that_names_folder_process_and_setting(shared_up: Up) -> None:
    second = Up(shared_up.state, "--workers", "0")

    assert second.process.wait(PATIENCE_SECONDS) == 69
    (line,) = second.text.splitlines()
    assert str(shared_up.state) in line
    assert str(shared_up.process.pid) in line
    assert "IMPASTO_STATE" in line
    assert find_running(shared_up.state) is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_child_and_the_exit_code_is_zero(tmp_path: Path, number: signal.Signals) -> None:
    with running_up(tmp_path / "state", "--workers", "2", "--device", "cpu") as up:
        up.wait_until_it_runs()
        children = up.children()

        code = up.end(number)

    assert code == 0
    assert len(children) == 4
    assert all(born(pid) is None for pid in children)
    assert not (up.state / RUN_FILE).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's favour is Linux's")
def test_what_a_killed_one_announced_is_not_believed_and_the_next_one_has_its_data(tmp_path: Path) -> None:
    with running_up(tmp_path / "state", "--workers", "1", "--device", "cpu") as first:
        running = first.wait_until_it_runs()
        with connect(running.redis_url) as client:
            client.set("kept", "yes")
        children = first.children()
        first.end(signal.SIGKILL)
    wait_until(lambda: all(born(pid) is None for pid in children))

    assert (first.state / RUN_FILE).exists()
    assert find_running(first.state) is None
    with (
        running_up(first.state, "--workers", "0") as second,
        connect(second.wait_until_it_runs().redis_url) as client,
    ):
        assert client.get("kept") == "yes"


def test_a_killed_server_comes_back_at_its_address_with_its_data(tmp_path: Path) -> None:
    with running_up(tmp_path / "state", "--workers", "0") as up:
        running = up.wait_until_it_runs()
        with connect(running.redis_url) as client:
            for number in range(1000):
                client.set(f"key-{number}", number)
            server = int(client.info("server")["process_id"])

        os.kill(server, signal.SIGKILL)
        wait_until(lambda: "SIGKILL" in up.text)
        wait_until(lambda: len(up.children()) == 2)

        with connect(running.redis_url) as client:
            wait_until(lambda: _answers(client))
            assert client.dbsize() == 1000
            assert client.get("key-999") == "999"
        assert find_running(up.state) == running


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_server_that_was_named_is_used_and_none_is_started(tmp_path: Path, valkey: RedisServer) -> None:
    store = (tmp_path / "pictures").as_uri()
    with running_up(
        tmp_path / "state", "--workers", "0", IMPASTO_REDIS_URL=valkey.url, IMPASTO_STORE_URL=store
    ) as up:
        running = up.wait_until_it_runs()

        assert (running.redis_url, running.store_url) == (valkey.url, store)
        assert len(up.children()) == 1, "the beat alone"


def _refusal(up: Up) -> tuple[int, str]:
    try:
        code = up.process.wait(PATIENCE_SECONDS)
    finally:
        if up.process.poll() is None:
            up.end()
    (line,) = [line for line in up.text.splitlines() if line.startswith("impasto: ")]
    assert "Traceback" not in up.text
    assert not (up.state / RUN_FILE).exists()
    return code, line


def test_a_named_server_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"

    code, line = _refusal(Up(tmp_path / "state", "--workers", "0", IMPASTO_REDIS_URL=url))

    assert code == 69
    assert "IMPASTO_REDIS_URL" in line
    assert "hunter2" not in line


def test_a_port_that_somebody_listens_on_is_told_and_not_used(tmp_path: Path, valkey: RedisServer) -> None:
    code, line = _refusal(Up(tmp_path / "state", "--workers", "0", "--port", str(valkey.port)))

    assert code == 69
    assert "did not start" in line
    assert f"port {valkey.port}" in line
    assert "valkey.log" in line


def test_a_store_that_takes_nothing_keeps_it_from_starting(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")

    code, line = _refusal(
        Up(tmp_path / "state", "--workers", "0", IMPASTO_STORE_URL=(in_the_way / "store").as_uri())
    )

    assert code != 0
    assert str(in_the_way) in line


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "words"),
    [
        (["--device", "cuda:99"], {}, 64, "cuda:99"),
        (["--device", "cpu"], {"IMPASTO_WEIGHTS": "/nowhere.pth"}, 78, "/nowhere.pth"),
    ],
)
def test_a_worker_that_can_never_begin_ends_it_with_the_workers_words_and_code(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], code: int, words: str
) -> None:
    up = Up(tmp_path / "state", "--workers", "1", *arguments, REAL_WORKERS="1", **variables)

    ended, line = _refusal(up)

    assert ended == code
    assert words in line
    assert "worker-1.log" in line
    assert f"worker-1 ended (exit code {code})" in up.text
    assert "starting it again" not in up.text


def test_a_state_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    up = Up(tmp_path / "state", "--workers", "0")

    assert up.process.wait(PATIENCE_SECONDS) == 64
    assert "IMPASTO_STATE" in up.text


def test_a_server_can_start_in_a_folder_of_any_name(tmp_path: Path) -> None:
    with (
        running_up(tmp_path / 'mit "Raum" \\ und Wörtern', "--workers", "0") as up,
        connect(up.wait_until_it_runs().redis_url) as client,
    ):
        client.set("a", "b")

    assert (up.state / "valkey" / "appendonlydir").is_dir()


def test_a_server_has_the_address_again_that_it_had_on_its_folder_unless_the_port_is_taken(
    tmp_path: Path,
) -> None:
    first = Valkey.choose(tmp_path)
    first.program()

    assert Valkey.choose(tmp_path).url == first.url
    assert Valkey.choose(tmp_path, port=first.port).url == first.url
    asked_for = Valkey.choose(tmp_path, port=free_port())
    with socket.create_server(("127.0.0.1", first.port)):
        other = Valkey.choose(tmp_path)
    for one in (asked_for, other):
        assert one.port != first.port
        assert one.password != first.password


@pytest.mark.parametrize("text", [b"", b"port 0\nrequirepass x\n", b"port 99999\nrequirepass \xff\n"])
def test_a_configuration_that_makes_no_sense_is_replaced(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "valkey.conf").write_bytes(text)

    server = Valkey.choose(tmp_path)
    server.program()

    assert Valkey.choose(tmp_path) == server


def test_the_password_is_not_in_what_a_server_is_printed_as(tmp_path: Path) -> None:
    server = Valkey.choose(tmp_path)

    assert server.password in server.url
    assert server.password not in repr(server)
    assert json.dumps(server.program().command).find(server.password) == -1
