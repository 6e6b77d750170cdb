"""What is due and can't go out: nobody's fault but the store's, and sent as soon as it gives."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.shared.celery_app import make_app
from impasto.shared.dispatch import Dispatcher
from impasto.shared.errors import Damaged, LedgerUnavailable, StoreUnavailable
from impasto.shared.ledger import Control
from servers import RedisServer, free_port
from stage import Stage, folder_stage, picture, png
from workers import eventually


@pytest.fixture
def stage(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    yield stage
    stage.close()


def due(stage: Stage) -> str:
    """A batch of two pairs that the ledger takes for published, and that nobody has sent."""
    batch = stage.submit([png(picture(1)), png(picture(3))], [png(picture(2))], paused=True)
    stage.ledger.control(batch, Control.RESUME)
    assert stage.ledger.advance(batch, min_window=2) == [0, 1]
    return batch


def fresh(stage: Stage) -> Dispatcher:
    """As in a worker that never saw these batches: nothing of them is cached."""
    files = type(stage.files)(stage.store)
    return Dispatcher(stage.app, stage.ledger, files, stage.deployment, stage.client)


def swept(stage: Stage) -> list[tuple[str, int]]:
    """What a sweep would publish, on a queue that is long."""
    found = stage.ledger.sweep(
        every_seconds=0.0, republish_seconds=3600, broker_is_empty=False, max_deaths=3, min_window=2
    )
    return list(found.publish)


def test_what_the_store_refuses_to_give_fails_nothing_and_goes_out_once_it_gives_it(
    stage: Stage, tmp_path: Path
) -> None:
    refused, whole = due(stage), due(stage)
    spec = tmp_path / "store" / "batches" / refused / "batch.json"
    content = spec.read_bytes()
    spec.unlink()
    # A loop of links is refused as a file is that this user may not read.
    spec.symlink_to(spec)
    pairs = [(refused, 0), (whole, 0), (refused, 1), (whole, 1)]
    with pytest.raises(StoreUnavailable, match="symbolic links"):
        fresh(stage).publish(pairs)
    assert stage.dispatcher.messages_waiting() == 2
    assert stage.ledger.status(refused).due == 2
    spec.unlink()
    spec.write_bytes(content)
    assert swept(stage) == [(refused, 0), (refused, 1)]
    assert fresh(stage).publish([(refused, 0), (refused, 1)]) == []
    assert stage.dispatcher.messages_waiting() == 4


def test_what_is_damaged_is_answered_even_beside_what_the_store_does_not_give(
    stage: Stage, tmp_path: Path
) -> None:
    refused, damaged = due(stage), due(stage)
    for batch, make in ((refused, lambda spec: spec.symlink_to(spec)), (damaged, Path.touch)):
        spec = tmp_path / "store" / "batches" / batch / "batch.json"
        spec.unlink()
        make(spec)
    (first, second) = fresh(stage).publish([(refused, 0), (damaged, 0), (damaged, 1)])
    assert [(first.batch, first.pair), (second.batch, second.pair)] == [(damaged, 0), (damaged, 1)]
    assert isinstance(first.error, Damaged)


def test_a_batch_that_the_store_is_slow_to_give_holds_up_none_before_it(stage: Stage, tmp_path: Path) -> None:
    whole, slow = due(stage), due(stage)
    spec = tmp_path / "store" / "batches" / slow / "batch.json"
    content = spec.read_bytes()
    spec.unlink()
    os.mkfifo(spec)
    publishing = threading.Thread(target=fresh(stage).publish, args=([(whole, 0), (slow, 0)],))
    publishing.start()
    eventually(lambda: stage.dispatcher.messages_waiting() == 1, what="the batch that is there")
    spec.write_bytes(content)
    publishing.join()
    assert stage.dispatcher.messages_waiting() == 2


def test_what_the_queue_does_not_take_is_swept_next(stage: Stage) -> None:
    first, second = due(stage), due(stage)
    app = make_app(stage.deployment, f"redis://127.0.0.1:{free_port()}/0")
    pairs = [(first, 0), (first, 1), (second, 0)]
    with pytest.raises(LedgerUnavailable):
        Dispatcher(app, stage.ledger, stage.files, stage.deployment, stage.client).publish(pairs)
    app.close()
    assert sorted(swept(stage)) == sorted(pairs)
