"""A store that goes away while pairs run, in each way that stores do: time is lost, and nothing else.

The engine is a stand-in that gives the content back.
"""

from __future__ import annotations

from pathlib import Path

from audit import audit
from faulty_proxy import Fault, FaultyProxy
from impasto.shared.ledger import BatchState, EventType
from s3_server import S3Server
from servers import RedisServer
from stage import Stage, folder_stage, picture, png, s3_stage
from workers import eventually

HICCUPS = (Fault.RESET, Fault.SLOW_DOWN, Fault.BROKEN, Fault.SHORT_BODY, Fault.LOST_REPLY)
"""Of one request each: the SDK makes it again, and would do so for half a minute."""
PAGES = (Fault.WEB_PAGE, Fault.TIDY_WEB_PAGE, Fault.REDIRECT, Fault.NOT_FOUND_PAGE)
CREDENTIALS = (Fault.EXPIRED_TOKEN, Fault.SKEWED_CLOCK)
PATIENCE = {"IMPASTO_STORE_PATIENCE_SECONDS": "0.5"}
"""So short that an outage is longer, and must be told from one object that the store does not give."""


def submit(stage: Stage, count: int) -> str:
    return stage.submit([png(picture(i)) for i in range(count)], [png(picture(99))])


def assert_unscathed(stage: Stage, batch: str) -> None:
    """Every pair is done at its first attempt, once."""
    assert stage.ledger.status(batch).state is BatchState.DONE
    leased = [event for event in stage.ledger.events(batch) if event.type is EventType.PAIR_LEASED]
    assert [event.data["attempt"] for event in leased] == [1] * stage.ledger.status(batch).total
    audit(stage, batch)


def test_an_s3_that_fails_in_every_way_in_turn_costs_no_pair_and_no_attempt(
    valkey: RedisServer, s3_server: S3Server, namespace: str, tmp_path: Path
) -> None:
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        stage = s3_stage(valkey.url, namespace, s3_server)
        batches = [submit(stage, 24)]
        spoilt = Stage({**stage.environment, "IMPASTO_S3_ENDPOINT_URL": proxy.endpoint_url})
        with spoilt.noop_worker(tmp_path / "worker.log", seconds=0.15, **PATIENCE) as worker:
            worker.ready()
            for fault in HICCUPS:
                for method in ("GET", "PUT"):
                    proxy.next(method, fault)
            eventually(lambda: proxy.has_shown_all, what="all faults of single requests")
            for fault in (*PAGES, *CREDENTIALS):
                told = len(worker.events("store.waiting"))
                with proxy.suffering(fault):
                    # However many of the others are done by now, these can't be fetched.
                    batches.append(submit(stage, 2))
                    eventually(
                        lambda told=told: len(worker.events("store.waiting")) > told,  # type: ignore[misc]
                        what=f"a worker that waits through {fault.name}",
                    )
                eventually(lambda: stage.is_over(batches[-1]), what=f"a batch after {fault.name}")
            eventually(lambda: stage.is_over(batches[0]), what="the batch")
            assert worker.alive
        for batch in batches:
            assert_unscathed(stage, batch)
        spoilt.close()
        stage.close()


def test_a_folder_that_is_unmounted_while_a_batch_runs_is_waited_for(
    valkey: RedisServer, namespace: str, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    batch = submit(stage, 8)
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    with stage.noop_worker(tmp_path / "worker.log", seconds=0.3, steps=3, **PATIENCE) as worker:
        worker.ready()
        for has_mount_point in (True, False):
            done, told = stage.ledger.status(batch).done, len(worker.events("store.waiting"))
            eventually(lambda done=done: stage.ledger.status(batch).done > done, what="a pair in peace")  # type: ignore[misc]
            root.rename(elsewhere)
            if has_mount_point:
                root.mkdir()
            # Several times as long as a worker waits for one object that it can't get.
            eventually(
                lambda told=told: len(worker.events("store.waiting")) >= told + 4,  # type: ignore[misc]
                what="a worker that waits",
            )
            if has_mount_point:
                root.rmdir()
            elsewhere.rename(root)
        eventually(lambda: stage.is_over(batch), what="the batch")
        assert worker.alive
    assert_unscathed(stage, batch)
    stage.close()


def test_a_worker_that_finds_the_disk_unmounted_at_its_start_takes_nothing_and_says_why(
    valkey: RedisServer, namespace: str, tmp_path: Path
) -> None:
    stage = folder_stage(valkey.url, namespace, tmp_path)
    batch = submit(stage, 2)
    root, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    root.rename(elsewhere)
    with stage.noop_worker(tmp_path / "first.log") as worker:
        assert worker.wait(60) == 74
        last_words = worker.log.read_text().splitlines()[-1]
    assert f"batch {batch} is under way: is its disk mounted" in last_words
    assert stage.ledger.status(batch).due == 2
    # As a disk is mounted over what lies beneath it.
    root.rename(tmp_path / "beneath")
    elsewhere.rename(root)
    with stage.noop_worker(tmp_path / "second.log") as worker:
        worker.ready()
        eventually(lambda: stage.is_over(batch), what="the batch")
    assert_unscathed(stage, batch)
    stage.close()
