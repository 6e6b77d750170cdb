"""Traps of Celery on Redis that were walked into elsewhere: one test each, on real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from impasto.worker.heart import EXIT_DEAF
from servers import RedisServer, valkey_binary
from stage import QUICK, folder_stage, picture, png
from workers import EAGER, eventually

SECONDS = QUICK.model_copy(update={"size_px": 64, "steps": 250})


def test_a_worker_is_not_deaf_after_its_server_was_down_when_a_pair_ended(
    namespace: str, tmp_path: Path
) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        first = stage.submit([png(picture(1))], [png(picture(2))], SECONDS)
        with stage.worker(tmp_path / "worker.log") as worker:
            worker.ready()
            eventually(lambda: bool(stage.ledger.running(first)), what="a running pair")
            server.stop()
            # The pair ends, and its acknowledgement fails, while nobody listens.
            eventually(lambda: worker.has("ledger.waiting"), what="the end of the pair")
            server.start()
            eventually(lambda: stage.is_over(first), what="the first batch")
            second = stage.submit([png(picture(3))], [png(picture(4))], QUICK)
            eventually(lambda: stage.is_over(second), what="a batch after the fall")
            assert worker.alive
        stage.close()


DEAF: str = """
import time
from impasto.shared.deployment import Deployment
from impasto.worker.heart import Heart
from impasto.worker.held import HeldPairs
from stage import Stage

stage = Stage(ENVIRONMENT)
heart = Heart(
    worker="deaf", info={}, deployment=stage.deployment, ledger=stage.ledger, dispatcher=stage.dispatcher,
    held_pairs=HeldPairs(),
)
heart.start()
time.sleep(60)
"""


def test_a_deaf_worker_ends_itself_so_that_it_is_started_again(
    valkey: RedisServer, namespace: str, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    stage.submit([png(picture(1))], [png(picture(2))])
    environment = {**stage.environment, **EAGER, "IMPASTO_DEAF_SECONDS": "1"}
    # A heart beside a main thread that takes no message: alive, and deaf.
    deaf = subprocess.run(
        [sys.executable, "-c", DEAF.replace("ENVIRONMENT", repr(environment))],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert deaf.returncode == EXIT_DEAF, deaf.stderr
    assert stage.ledger.workers() == []
    stage.close()


def test_a_full_server_ends_the_worker_with_an_exit_code_that_asks_for_another(
    namespace: str, tmp_path: Path
) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        stage = folder_stage(server.url, namespace, tmp_path)
        with stage.worker(tmp_path / "worker.log") as worker:
            worker.ready()
            batch = stage.submit([png(picture(i)) for i in range(3)], [png(picture(9))], SECONDS)
            eventually(lambda: bool(stage.ledger.running(batch)), what="a running pair")
            stage.client.config_set("maxmemory", "1")
            time.sleep(1)
            stage.client.config_set("maxmemory", "0")
            eventually(lambda: stage.is_over(batch) or not worker.alive, what="an end")
            if not worker.alive:
                assert worker.wait() != 0
        with stage.worker(tmp_path / "second.log") as worker:
            worker.ready()
            eventually(lambda: stage.is_over(batch), what="the batch")
        assert stage.ledger.status(batch).done == 3
        stage.close()
