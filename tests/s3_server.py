"""A real S3 server for tests: moto over HTTP, in a process of its own, that can be stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import IO, Self

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from impasto.shared.store.s3 import S3Store
from impasto.shared.store.s3_access import S3Access
from servers import free_port

ACCESS_KEY_ID = "test-key-id"
SECRET_ACCESS_KEY = "test-secret-access-key"
_SECRET = SecretStr(SECRET_ACCESS_KEY)


class S3Server:
    """`with S3Server() as server:` gives a server on a free loopback port, with one bucket.

    Objects live in the server's memory: `kill()` and `stop()` lose them, and `start()` makes the bucket
    anew on the same port.
    """

    def __init__(self, bucket: str = "impasto", port: int | None = None) -> None:
        self.bucket = bucket
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What a deployment on this server has in its environment, but for the store's URL."""
        return {
            "IMPASTO_S3_ENDPOINT_URL": self.endpoint_url,
            "IMPASTO_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "IMPASTO_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }

    def access(self, **overrides: object) -> S3Access:
        """As a store would talk to the server, with short patience unless told otherwise."""
        options = {"attempts": 2, "connect_timeout_seconds": 2, "read_timeout_seconds": 20, **overrides}
        return S3Access(self.endpoint_url, "us-east-1", ACCESS_KEY_ID, _SECRET, **options)  # type: ignore[arg-type]

    def store(self, prefix: str = "", bucket: str | None = None) -> S3Store:
        return S3Store(self.access(), bucket or self.bucket, prefix)

    def create_bucket(self, name: str) -> None:
        self.access().client().create_bucket(Bucket=name)

    def start(self) -> None:
        """Returns once the server answers and the bucket is there."""
        assert self._process is None, "the server is running already"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the server ends)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal must not end the server before the tests that use it.
            start_new_session=True,
        )
        # The probing client is made once: making one takes longer than the server needs to start.
        client = self.access(attempts=1).client()
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=self.bucket)
            except (BotoCoreError, ClientError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._log.seek(0)
                    log = self._log.read().decode(errors="replace")[-2000:]
                    raise RuntimeError(f"moto did not start on port {self.port}: {log}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Ask the server to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the server fall silent with its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
