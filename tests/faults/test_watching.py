"""Whoever watches a batch is told each change of it once, whatever becomes of watcher and server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from hands import finish
from impasto.producer import Client
from impasto.shared.ledger import BatchState
from servers import RedisServer, valkey_binary
from stage import folder_stage, picture, png
from workers import eventually

WATCHER: Final = """
import sys
from impasto.producer import Client

with Client() as client:
    for update in client.watch(sys.argv[1], after=sys.argv[2]):
        for event in update.events:
            print(event.id, flush=True)
"""


class Watcher:
    """A process that writes the id of each event that it is told of, after the last one in `told`."""

    def __init__(self, environment: dict[str, str], folder: Path, batch: str, told: Path) -> None:
        last = told.read_text().splitlines()[-1:] if told.exists() else []
        with told.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WATCHER, batch, *(last or ["0"])],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=out,
            )


def test_a_watcher_that_is_killed_and_comes_back_while_the_server_goes_misses_and_repeats_nothing(
    namespace: str, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with RedisServer(valkey_binary(), tmp_path / "valkey", {"appendfsync": "always"}) as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        batch = stage.submit([png(picture(i)) for i in range(8)], [png(picture(99))])

        def lines() -> list[str]:
            # A killed process leaves no half of a line: each is one write.
            return told.read_text().splitlines() if told.exists() else []

        def all_told() -> bool:
            return lines() == [event.id for event in stage.ledger.events(batch)]

        with Client(stage.deployment) as client:
            for pair in range(0, 4, 2):
                watcher = Watcher(stage.environment, tmp_path, batch, told)
                eventually(all_told, what="all events so far")
                finish(client, batch, pair)
                watcher.process.kill()
                watcher.process.wait()
                finish(client, batch, pair + 1)
            watcher = Watcher(stage.environment, tmp_path, batch, told)
            eventually(all_told, what="all events so far")
            server.stop()
            server.start()
            finish(client, batch, 4)
            eventually(all_told, what="what happened since the server is back")
            server.kill()
            server.start()
            for pair in range(5, 8):
                finish(client, batch, pair)
            assert watcher.process.wait(60) == 0
        assert stage.ledger.status(batch).state is BatchState.DONE
        assert all_told()
        stage.close()
