"""A Redis that took the connection and then says nothing: a stopped process, a machine that swaps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from impasto.shared.errors import LedgerUnavailable
from servers import RedisServer, valkey_binary

PATIENCE_SECONDS = 40
"""Workers ask again, for 15 s each time; whoever sits before a terminal is told much sooner."""


def test_a_command_ends_with_a_word_though_its_server_hangs(namespace: str, tmp_path: Path) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        server.pause()
        told = subprocess.run(
            [sys.executable, "-m", "impasto.producer.cli", "status"],
            env={
                **os.environ,
                "IMPASTO_REDIS_URL": server.url,
                "IMPASTO_NAMESPACE": namespace,
                "IMPASTO_STORE_URL": (tmp_path / "store").as_uri(),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        server.resume()
    assert told.returncode == LedgerUnavailable.exit_code
    assert f"127.0.0.1:{server.port} does not answer" in told.stderr
