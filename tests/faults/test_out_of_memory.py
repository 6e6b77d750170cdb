"""Pairs that are too large for the device, in a whole worker whose engine is a stand-in."""

from __future__ import annotations

from pathlib import Path

from audit import audit
from noop_worker import GREEDY
from servers import RedisServer
from stage import folder_stage, picture, png
from workers import eventually


def test_a_pair_too_large_for_the_device_is_tried_twice_and_fails_alone_with_the_reason(
    valkey: RedisServer, namespace: str, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    greedy = picture(7)
    greedy.putpixel((0, 0), GREEDY)
    batch = stage.submit([png(image) for image in (picture(1), greedy, picture(2))], [png(picture(99))])
    with stage.noop_worker(tmp_path / "worker.log", steps=2) as worker:
        worker.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert worker.alive
        started = [event["pair"] for event in worker.events("pair.started")]
    (failure,) = stage.ledger.failures(batch)
    assert (failure.pair, failure.kind, failure.attempts) == (1, "out_of_device_memory", 2)
    assert "size_px" in failure.message
    assert sorted(started) == [0, 1, 1, 2]
    audit(stage, batch)
    stage.close()
