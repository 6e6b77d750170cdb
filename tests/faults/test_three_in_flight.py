"""A worker fetches one pair, computes another and puts a third: what becomes of the three when it ends.

The engine is a stand-in that gives the content back; the store is slow, so that three are in hand for long.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from audit import audit
from crew import Crew
from faulty_proxy import FaultyProxy
from impasto.shared.ledger import BatchState, Event, EventType
from noop_worker import POISON
from s3_server import S3Server
from servers import RedisServer
from stage import Stage, picture, png, s3_stage
from workers import WorkerProcess, eventually

SLOW_STORE_SECONDS = 0.4


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def stage(valkey: RedisServer, s3_server: S3Server, proxy: FaultyProxy, namespace: str) -> Iterator[Stage]:
    stage = s3_stage(valkey.url, namespace, s3_server, proxy.endpoint_url)
    yield stage
    stage.close()


def submit(stage: Stage, contents: list[Image.Image]) -> str:
    return stage.submit([png(content) for content in contents], [png(picture(99))])


def with_three_in_hand(stage: Stage, proxy: FaultyProxy, folder: Path, batch: str) -> WorkerProcess:
    """A worker that fetches, computes and puts at this moment."""
    worker = stage.noop_worker(folder / "first.log", seconds=1.2, steps=12).start().ready()
    proxy.delay_seconds = SLOW_STORE_SECONDS
    eventually(lambda: stage.ledger.status(batch).running == 3, what="three pairs in one worker's hands")
    return worker


def expired(stage: Stage, batch: str) -> list[Event]:
    return [event for event in stage.ledger.events(batch) if event.type is EventType.PAIR_EXPIRED]


def test_three_pairs_whose_worker_is_killed_are_made_elsewhere_and_only_one_is_charged(
    stage: Stage, proxy: FaultyProxy, tmp_path: Path
) -> None:
    batch = submit(stage, [picture(i) for i in range(6)])
    with_three_in_hand(stage, proxy, tmp_path, batch).kill()
    proxy.delay_seconds = 0.0
    with stage.noop_worker(tmp_path / "second.log", seconds=0.1, steps=4) as second:
        second.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
    assert stage.ledger.status(batch).state is BatchState.DONE
    deaths = expired(stage, batch)
    assert len({event.pair for event in deaths}) == 3
    assert sorted(event.data["counted"] for event in deaths) == [False, False, True]
    audit(stage, batch)


def test_a_pair_that_kills_its_workers_fails_alone_though_others_are_in_their_hands(
    stage: Stage, proxy: FaultyProxy, tmp_path: Path
) -> None:
    poisonous = picture(7)
    poisonous.putpixel((0, 0), POISON)
    batch = submit(stage, [picture(1), picture(2), poisonous, *(picture(i) for i in range(3, 8))])
    proxy.delay_seconds = 0.1
    with Crew(stage, tmp_path, 1, seconds=0.6, steps=6) as crew:
        crew.watch_until(lambda: stage.is_over(batch), what="the batch")
    (failure,) = stage.ledger.failures(batch)
    assert (failure.pair, failure.kind, failure.attempts) == (2, "poison_pair", 3)
    assert stage.ledger.status(batch).done == 7
    deaths = expired(stage, batch)
    assert {event.pair for event in deaths if event.data["counted"]} == {2}
    # After its first death it ran alone.
    assert sum(event.data["counted"] for event in deaths) == 3
    audit(stage, batch)


def test_a_worker_told_to_stop_hands_back_all_it_holds_and_counts_no_attempt(
    stage: Stage, proxy: FaultyProxy, tmp_path: Path
) -> None:
    batch = submit(stage, [picture(i) for i in range(6)])
    worker = with_three_in_hand(stage, proxy, tmp_path, batch)
    worker.send(signal.SIGTERM)
    assert worker.wait(30) == 0
    status = stage.ledger.status(batch)
    assert status.running == 0
    # What was being put is done, if that was in time; the other two are handed back.
    assert len(worker.events("pair.handed_back")) in (2, 3)
    assert stage.dispatcher.messages_waiting() >= status.due > 1
    proxy.delay_seconds = 0.0
    with stage.noop_worker(tmp_path / "second.log", seconds=0.1, steps=4) as second:
        second.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
    assert expired(stage, batch) == []
    leased = [event for event in stage.ledger.events(batch) if event.type is EventType.PAIR_LEASED]
    assert {event.data["attempt"] for event in leased} == {1}
    audit(stage, batch)


def test_a_store_that_falls_silent_halts_the_worker_with_three_pairs_at_most_and_loses_none(
    stage: Stage, s3_server: S3Server, proxy: FaultyProxy, tmp_path: Path
) -> None:
    batch = submit(stage, [picture(i) for i in range(8)])
    with stage.noop_worker(tmp_path / "worker.log", seconds=0.5, steps=5) as worker:
        worker.ready()
        eventually(lambda: stage.ledger.status(batch).done >= 1, what="the first pair")
        s3_server.pause()
        try:
            eventually(lambda: stage.ledger.status(batch).running >= 2, what="pairs that wait")
            time.sleep(2.5)
            assert 2 <= stage.ledger.status(batch).running <= 3
        finally:
            s3_server.resume()
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert worker.alive
    assert stage.ledger.status(batch).state is BatchState.DONE
    assert expired(stage, batch) == []
    audit(stage, batch)
