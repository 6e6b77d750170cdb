"""Devices that break or hang: their worker ends, and nobody's pair fails by it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from audit import audit
from impasto.shared.ledger import BatchState, EventType
from impasto.worker.station import EXIT_BROKEN
from noop_worker import BREAKING, DEVICE, STUCK
from servers import RedisServer
from stage import folder_stage, picture, png
from workers import WorkerProcess, eventually


def marked(seed: int, colour: tuple[int, int, int]) -> Image.Image:
    image = picture(seed)
    image.putpixel((0, 0), colour)
    return image


def ends_as_broken(worker: WorkerProcess, event: str, *, pair: int) -> None:
    with worker:
        assert worker.wait(30) == EXIT_BROKEN
    (told,) = worker.events(event)
    assert told["pair"] == pair
    # It settles nothing: not this pair, and not those that it would have taken next.
    assert not worker.has("pair.unexpected")
    assert not worker.has("pair.postponed")


def test_a_worker_whose_device_breaks_or_hangs_ends_and_its_pairs_are_made_elsewhere(
    valkey: RedisServer, namespace: str, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    contents = [picture(0), marked(1, BREAKING), marked(2, STUCK), *(picture(i) for i in range(3, 8))]
    batch = stage.submit([png(content) for content in contents], [png(picture(99))])
    soon = {"IMPASTO_LEASE_SECONDS": "1"}

    breaks = stage.noop_worker(tmp_path / "breaks.log", steps=2, **soon, **{DEVICE: "breaks"})
    ends_as_broken(breaks, "device.broken", pair=1)
    limit = {"IMPASTO_HANG_SECONDS": "0.5"}
    hangs = stage.noop_worker(tmp_path / "hangs.log", steps=2, **soon, **limit, **{DEVICE: "hangs"})
    ends_as_broken(hangs, "pair.hung", pair=2)

    with stage.noop_worker(tmp_path / "sound.log", steps=2, **soon, **limit) as sound:
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert sound.alive
    assert stage.ledger.status(batch).state is BatchState.DONE
    expired = [event for event in stage.ledger.events(batch) if event.type is EventType.PAIR_EXPIRED]
    assert [event.pair for event in expired if event.data["counted"]] == [1, 2]
    audit(stage, batch)
    stage.close()
