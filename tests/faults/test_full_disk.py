"""A disk that is full while pairs run: time is lost, and nothing else.

The engine is a stand-in that gives the content back.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import audit
from impasto.shared.ledger import BatchState, EventType
from servers import RedisServer
from stage import Stage, folder_stage, picture, png
from workers import eventually

DISK_BYTES = 1_000_000


def submit(stage: Stage, count: int) -> str:
    return stage.submit([png(picture(i)) for i in range(count)], [png(picture(99))])


def attempts(stage: Stage, batch: str) -> list[int]:
    """Of each lease in turn."""
    leased = [event for event in stage.ledger.events(batch) if event.type is EventType.PAIR_LEASED]
    return [event.data["attempt"] for event in leased]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, which ends with the process that holds it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && echo mounted && exec sleep 600'
    holder = subprocess.Popen(
        ["/usr/bin/env", "unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip("no disk can be made full here: this user may not mount a tmpfs")
        yield Path(f"/proc/{holder.pid}/root{folder}")
    finally:
        holder.kill()
        holder.communicate()


def doctor(stage: Stage, folder: Path) -> dict[str, Any]:
    """What `impasto doctor` finds, by the names of its checks."""
    command = [sys.executable, "-m", "impasto.producer.cli", "doctor", "--json"]
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **stage.environment},
        capture_output=True,
        timeout=60,
        check=True,
    )
    return {check["name"]: check for check in json.loads(ran.stdout)["checks"]}


def fill(folder: Path) -> Path:
    """Take all the room there is; the file that has it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


def test_a_full_disk_is_waited_for_and_named_and_leaves_nothing_torn(
    valkey: RedisServer, namespace: str, small_disk: Path, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, small_disk)
    batch = submit(stage, 4)
    patience = {"IMPASTO_STORE_PATIENCE_SECONDS": "0.5"}
    with stage.noop_worker(tmp_path / "worker.log", seconds=0.5, steps=5, **patience) as worker:
        worker.ready()
        eventually(lambda: stage.ledger.status(batch).done >= 1, what="the first pair")
        filler = fill(small_disk)
        # Several times as long as a worker waits for one object that it can't put.
        eventually(lambda: len(worker.events("store.waiting")) >= 5, what="a worker that waits")
        told = worker.events("store.waiting")[-1]["error"]
        filler.unlink()
        disk = doctor(stage, tmp_path)["disk"]
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert worker.alive
    assert f"{small_disk}/store failed at" in told
    assert "No space left on device; make room there" in told
    assert disk["status"] == "warning"
    assert re.search(r"KiB of \d+\.\d KiB left for the store", disk["detail"])
    assert stage.ledger.status(batch).state is BatchState.DONE
    assert attempts(stage, batch) == [1] * 4
    audit(stage, batch)
    assert list((small_disk / "store").rglob(".tmp-*")) == []
    stage.close()
