"""The heart and the sweep beside it, on a real server and a store that hangs as an unreachable share does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from impasto.shared.celery_app import queue_keys
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import StoreUnavailable
from impasto.shared.ledger import Control, Lease
from impasto.worker.heart import Heart
from impasto.worker.held import HeldPairs
from impasto.worker.sweeper import Sweeper
from servers import RedisServer, valkey_binary
from stage import Stage, folder_stage, picture, png
from workers import EAGER, eventually


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield eager(stage)
    stage.close()


def eager(stage: Stage) -> Stage:
    """The same stage with the patience of tests."""
    return Stage({**stage.environment, **EAGER})


def submit(stage: Stage, *, paused: bool = False) -> str:
    return stage.submit([png(picture(1))], [png(picture(2))], paused=paused)


def heart_of(stage: Stage, held_pairs: HeldPairs) -> Heart:
    return Heart(
        worker="w",
        info={},
        deployment=stage.deployment,
        ledger=stage.ledger,
        dispatcher=stage.dispatcher,
        held_pairs=held_pairs,
    )


def sweeper_of(stage: Stage) -> Sweeper:
    # As in a worker that never saw these batches: nothing of them is cached.
    files = type(stage.files)(stage.store)
    dispatcher = Dispatcher(stage.app, stage.ledger, files, stage.deployment, stage.client)
    return Sweeper(
        deployment=stage.deployment,
        ledger=stage.ledger,
        dispatcher=dispatcher,
        on_unreported=lambda batch: None,
        on_unreadable=lambda pairs: None,
    )


@contextmanager
def hanging(stage: Stage, tmp_path: Path, batch: str) -> Iterator[None]:
    """Whoever reads the batch's spec meanwhile waits, as on a share whose server is gone."""
    spec = tmp_path / "store" / "batches" / batch / "batch.json"
    whole = spec.read_bytes()
    spec.unlink()
    os.mkfifo(spec)
    try:
        yield
    finally:
        spec.with_suffix(".whole").write_bytes(whole)
        pipe = os.open(spec, os.O_RDWR | os.O_NONBLOCK)
        spec.with_suffix(".whole").replace(spec)
        os.close(pipe)


def test_a_store_that_hangs_costs_no_worker_its_lease(stage: Stage, tmp_path: Path) -> None:
    mine, other = submit(stage), submit(stage, paused=True)
    lease = stage.ledger.lease(mine, 0, worker="w", lease_id="l", ttl_seconds=2)
    assert isinstance(lease, Lease)
    held_pairs = HeldPairs()
    held_pairs.take(lease)
    heart, sweeper = heart_of(stage, held_pairs), sweeper_of(stage)
    with hanging(stage, tmp_path, other):
        stage.ledger.control(other, Control.RESUME)
        heart.start()
        sweeper.start()
        eventually(lambda: stage.ledger.status(other).due == 1, what="the sweep")
        time.sleep(0.5)
        first = stage.ledger.running(mine)[0].lease_expires_ms
        eventually(
            lambda: stage.ledger.running(mine)[0].lease_expires_ms > first + 1000,
            seconds=10,
            what="a renewal",
        )
    sweeper.stop()
    heart.stop()


def test_a_batch_that_the_store_does_not_give_holds_up_no_other(stage: Stage, tmp_path: Path) -> None:
    broken, whole = submit(stage, paused=True), submit(stage, paused=True)
    for batch in (broken, whole):
        stage.ledger.control(batch, Control.RESUME)
        assert stage.ledger.advance(batch, min_window=1) == [0]
    spec = tmp_path / "store" / "batches" / broken / "batch.json"
    spec.unlink()
    # Reading it is an error of input and output, as on a failing disk.
    spec.symlink_to("/proc/self/mem")
    dispatcher = Dispatcher(
        stage.app, stage.ledger, type(stage.files)(stage.store), stage.deployment, stage.client
    )
    with pytest.raises(StoreUnavailable):
        dispatcher.publish([(broken, 0), (whole, 0)])
    assert not stage.dispatcher.broker_is_empty()


def test_a_long_queue_is_not_made_longer_by_what_waits_in_it(stage: Stage) -> None:
    stage = Stage({**stage.environment, "IMPASTO_REPUBLISH_SECONDS": "0.5", "IMPASTO_SWEEP_SECONDS": "0.01"})
    submit(stage)
    queue = next(key for key in queue_keys(stage.deployment) if stage.client.exists(key))
    stage.client.rpush(queue, *["another's"] * 5000)
    sweeper = sweeper_of(stage)
    time.sleep(0.6)
    sweeper.sweep()
    assert stage.dispatcher.messages_waiting() == 5001
    stage.client.delete(queue)
    stage.client.rpush(queue, "another's")

    def is_sent_again() -> bool:
        sweeper.sweep()
        return stage.dispatcher.messages_waiting() == 2

    eventually(is_sent_again, what="the lost message, now that the queue is short")
    stage.close()


def test_an_outage_of_redis_is_not_taken_for_deafness(namespace: str, tmp_path: Path) -> None:
    with RedisServer(valkey_binary(), tmp_path / "valkey") as server:
        stage = eager(folder_stage(server.url, namespace, tmp_path))
        held_pairs = HeldPairs()
        heart = heart_of(stage, held_pairs)
        heart.start()
        eventually(lambda: bool(stage.ledger.workers()), what="a beat")
        server.stop()
        began = time.monotonic()
        eventually(lambda: held_pairs.last_activity > began + 1, seconds=20, what="the outage")
        server.start()
        heart.stop()
        stage.close()


PATIENT: str = """
import time
from impasto.shared.errors import StoreUnavailable
from impasto.worker.heart import Heart
from impasto.worker.held import HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.stopping import Stopping
from stage import Stage

stage = Stage(ENVIRONMENT)
held_pairs, until = HeldPairs(), time.monotonic() + 5
heart = Heart(
    worker="patient", info={}, deployment=stage.deployment, ledger=stage.ledger, dispatcher=stage.dispatcher,
    held_pairs=held_pairs,
)
heart.start()

def call():
    if time.monotonic() < until:
        raise StoreUnavailable("away")

Patience(held_pairs, Stopping(1), store_seconds=1).with_ledger(call)
heart.stop()
"""


def run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A program of its own, since a worker that is taken for deaf ends."""
    return subprocess.run(
        [sys.executable, "-c", program.replace("ENVIRONMENT", repr(environment))],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_worker_that_waits_for_a_server_is_not_taken_for_deaf(stage: Stage) -> None:
    submit(stage)
    patient = run(PATIENT, {**stage.environment, "IMPASTO_DEAF_SECONDS": "4"})
    assert patient.returncode == 0, patient.stderr


HANDLING: str = """
import sys
import time
import noop_worker
sys.modules["torch"] = noop_worker.torch_stand_in()
noop_worker.stand_in()
from pathlib import Path
from types import SimpleNamespace
from impasto.shared.batches import BatchFiles
from impasto.shared.jobs import PairJob
from impasto.shared.store.folder import FolderStore
from impasto.worker.heart import Heart
from impasto.worker.held import HeldPairs
from impasto.worker.patience import Patience
from impasto.worker.stopping import Stopping
from impasto.worker.task import PairTask
from stage import Stage

class Slow(FolderStore):
    def get(self, key, **options):
        time.sleep(1.2)
        return super().get(key, **options)

stage = Stage(ENVIRONMENT)
store = Slow(Path(stage.environment["IMPASTO_STORE_URL"].removeprefix("file://")))
held_pairs = HeldPairs()
time.sleep(1.1)
heart = Heart(
    worker="slow", info={}, deployment=stage.deployment, ledger=stage.ledger, dispatcher=stage.dispatcher,
    held_pairs=held_pairs,
)
heart.start()
time.sleep(0.3)
task = PairTask(
    worker="slow", deployment=stage.deployment, ledger=stage.ledger, files=BatchFiles(store),
    conveyor=SimpleNamespace(carry=lambda job, held: print(held.lease.batch), wait_until_wanted=lambda: None),
    held_pairs=held_pairs, patience=Patience(held_pairs, Stopping(1), store_seconds=1),
)
task.handle({"content": "store:inputs/content.png", "style": "store:inputs/style.png"})
heart.stop()
"""


def test_neither_a_late_start_nor_a_slow_store_is_taken_for_deafness(stage: Stage) -> None:
    submit(stage)
    handled = run(
        HANDLING, {**stage.environment, "IMPASTO_DEAF_SECONDS": "1", "IMPASTO_HEART_SECONDS": "0.1"}
    )
    assert handled.returncode == 0, handled.stderr
    assert handled.stdout.startswith("job-")
