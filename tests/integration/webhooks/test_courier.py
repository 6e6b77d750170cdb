"""What webhooks promise, on a real server and a receiver that verifies with the scheme's own library."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from impasto.producer.connection import Connection
from impasto.producer.webhooks import ScheduleIsFinished, add_to_outbox, deliveries
from impasto.producer.webhooks import courier as couriers
from impasto.producer.webhooks.courier import Courier
from impasto.producer.webhooks.deliveries import LEASE_SECONDS, DeliveryState
from impasto.producer.webhooks.payloads import EVENT
from impasto.producer.webhooks.registry import Webhook, WebhookState, now_ms
from impasto.producer.webhooks.retries import ATTEMPTS, DELAYS_SECONDS
from impasto.producer.webhooks.service import Webhooks
from impasto.shared.errors import LedgerUnavailable
from impasto.shared.ledger import BatchOpening
from impasto.shared.ledger.keys import Keys
from impasto.shared.metadata import OutputMetadata
from ledger_contract import Clock, failure_of
from noop_worker import FLAKY
from stage import Stage, picture, png
from webhook_receiver import Answer, Receiver
from workers import eventually

BEAT = [sys.executable, "-m", "impasto.producer.cli", "beat"]


def listen(webhooks: Webhooks, receiver: Receiver, *events: str, **more: Any) -> str:
    """The receiver is a webhook now, and knows its secret; the id."""
    added = webhooks.add(receiver.url, events=events or ("all",), **more)
    receiver.secrets.append(added.secret)
    assert added.warnings == ()
    return added.webhook.id


def end_a_batch(stage: Stage, batch: str, *, pairs: int = 1, failed: int = 0) -> None:
    """A batch comes to its end in the ledger, with no file of it in the store."""
    stage.ledger.open(BatchOpening(batch, pairs + failed, f"batch {batch}"))
    stage.ledger.advance(batch, min_window=pairs + failed)
    for pair in range(pairs + failed):
        stage.ledger.lease(batch, pair, worker="hands", lease_id=f"{batch}{pair}", ttl_seconds=60)
        if pair < pairs:
            stage.ledger.finish(batch, pair, lease_id=f"{batch}{pair}", busy_seconds=1)
        else:
            stage.ledger.fail(batch, pair, lease_id=f"{batch}{pair}", failure=failure_of(pair))
    stage.ledger.reported(batch, stage.ledger.status(batch).finished_ms)


def rounds(courier: Courier, turns: int = 1) -> None:
    for _ in range(turns):
        courier.turn()
        assert courier.settle(30)


def test_a_run_tells_each_pair_once_and_its_end_once_when_the_report_is_there(
    stage: Stage, connection: Connection, webhooks: Webhooks, receiver: Receiver, tmp_path: Path
) -> None:
    listen(webhooks, receiver)
    spoilt = picture(3)
    spoilt.putpixel((0, 0), FLAKY)
    contents = [png(picture(0)), png(picture(1)), png(spoilt)]
    with Courier(connection) as courier, stage.noop_worker(tmp_path / "worker.log"):
        batch = stage.submit(contents, [png(picture(9))], owner="museum")
        receiver.wait_for(5, lambda: courier.turn())
        eventually(lambda: stage.is_over(batch), what="the batch's end")
        rounds(courier, 3)
    assert len(receiver.posts) == len({post.id for post in receiver.posts}) == 5
    told = {}
    for event in receiver.events:
        EVENT.validate_python(event)
        told.setdefault(event["type"], []).append(event["data"])
    assert {type: len(data) for type, data in told.items()} == {
        "pair.done": 2,
        "pair.failed": 1,
        "batch.finished": 1,
        "batch.failed": 1,
    }
    for data in told["pair.done"]:
        metadata = OutputMetadata.model_validate_json(stage.store.get(data["metadata_key"]))
        assert data["fingerprint"] == metadata.fingerprint
        assert data["content"] == metadata.content.name
        assert data["loss"] == metadata.losses.last.total
        assert data["store"] == stage.store.url
        assert stage.store.head(data["picture_key"]) is not None
    (failed,) = told["pair.failed"]
    assert (failed["content"], failed["style"]) == ("content2.png", "style0.png")
    assert "nobody foresaw" in failed["error"]
    (over,) = told["batch.finished"]
    assert over == told["batch.failed"][0]
    assert over["counts"] == {"total": 3, "done": 2, "failed": 1, "cancelled": 0}
    assert (over["batch"], over["owner"], over["state"]) == (batch, "museum", "failed")
    assert stage.store.head(over["report_key"]) is not None
    assert webhooks.backlog().events == 0


def test_what_is_refused_twice_is_sent_again_under_the_same_id_until_it_is_taken(
    stage: Stage, webhooks: Webhooks, courier: Courier, clock: Clock, receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    receiver.answers += [Answer(500, body=b"out of \x1b order"), Answer(reset=True)]
    end_a_batch(stage, "b")
    rounds(courier, 2)
    assert len(receiver.posts) == 1
    (waiting,) = webhooks.deliveries(webhook)
    assert waiting.last is not None
    assert (waiting.attempts, waiting.last.status) == (1, 500)
    assert waiting.last.excerpt == r"out of \x1b order"
    for delay, posts in zip(DELAYS_SECONDS[:2], (2, 3), strict=True):
        clock.pass_seconds(0.9 * delay)
        rounds(courier)
        assert len(receiver.posts) == posts - 1, "too soon"
        clock.pass_seconds(delay)
        rounds(courier)
        assert len(receiver.posts) == posts
    assert len({post.id for post in receiver.posts}) == 1
    assert len({post.body for post in receiver.posts}) == 1
    assert len(receiver.events) == 3
    (delivered,) = webhooks.deliveries(webhook)
    assert (delivered.state, delivered.attempts) == (DeliveryState.DELIVERED, 3)
    assert webhooks.health(webhook).failing == 0


def test_what_nobody_takes_is_a_dead_letter_in_the_end_and_can_be_sent_again(
    stage: Stage, webhooks: Webhooks, courier: Courier, clock: Clock, receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    receiver.answers += [Answer(503)] * ATTEMPTS
    end_a_batch(stage, "b")
    for _ in range(ATTEMPTS + 3):
        rounds(courier)
        clock.pass_seconds(2 * max(DELAYS_SECONDS))
    assert len(receiver.posts) == ATTEMPTS
    (dead,) = webhooks.deliveries(state=DeliveryState.DEAD)
    assert (dead.id, dead.attempts, dead.message.batch) == (receiver.posts[0].id, ATTEMPTS, "b")
    assert webhooks.health(webhook).dead == 1
    assert webhooks.redeliver(dead.id).state is DeliveryState.WAITING
    rounds(courier)
    assert receiver.posts[-1].id == dead.id
    assert len(receiver.posts) == ATTEMPTS + 1
    assert webhooks.deliveries(state=DeliveryState.DEAD) == []


def test_a_beat_killed_between_post_and_note_delivers_again_under_the_same_id(
    stage: Stage,
    webhooks: Webhooks,
    courier: Courier,
    clock: Clock,
    receiver: Receiver,
) -> None:
    listen(webhooks, receiver, "batch.finished")
    receiver.answers.append(Answer(wait=receiver.ending))
    end_a_batch(stage, "b")
    process = subprocess.Popen(BEAT, env=stage.environment, stderr=subprocess.DEVNULL)
    try:
        receiver.wait_for(1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    rounds(courier)
    assert len(receiver.posts) == 1, "its claim still holds"
    clock.pass_seconds(LEASE_SECONDS + 60)
    rounds(courier, 2)
    first, second = receiver.posts
    assert first.id == second.id
    assert first.body == second.body
    (delivered,) = webhooks.deliveries()
    assert (delivered.state, delivered.attempts) == (DeliveryState.DELIVERED, 2)


def test_a_slow_webhook_holds_up_no_other(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    listen(webhooks, receiver, "batch.finished")
    listen(webhooks, other_receiver, "batch.finished")
    go_on = threading.Event()
    receiver.answers.append(Answer(wait=go_on))
    for number in range(3):
        end_a_batch(stage, f"b{number}")
    courier.turn()
    receiver.wait_for(1)
    other_receiver.wait_for(3)
    assert len(receiver.posts) == 1
    end_a_batch(stage, "b3")
    courier.turn()
    other_receiver.wait_for(4)
    assert len(receiver.posts) == 1
    go_on.set()
    receiver.wait_for(4)


def test_where_lanes_are_few_a_webhook_with_much_to_hear_leaves_its_own_to_others(
    stage: Stage,
    webhooks: Webhooks,
    courier: Courier,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(couriers, "LANES", 1)
    monkeypatch.setattr(couriers, "_LANE_SECONDS", 0.0)
    listen(webhooks, receiver, "batch.finished")
    for number in range(3):
        end_a_batch(stage, f"b{number}")
    for posts in (1, 2, 3):
        rounds(courier)
        assert len(receiver.posts) == posts


def test_a_webhook_that_is_gone_is_switched_off_until_people_resume_it(
    stage: Stage, connection: Connection, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    receiver.answers.append(Answer(410))
    end_a_batch(stage, "b")
    end_a_batch(stage, "c")
    rounds(courier, 2)
    assert len(receiver.posts) == 1
    assert webhooks.find(webhook).state is WebhookState.DISABLED
    end_a_batch(stage, "d")
    assert webhooks.backlog().events == 0, "nobody wants it"
    assert webhooks.resume(webhook).state is WebhookState.ACTIVE
    rounds(courier)
    assert [event["data"]["batch"] for event in receiver.events[1:]] == [
        {"b": "c", "c": "b"}[receiver.events[0]["data"]["batch"]]
    ]


def test_a_webhook_that_asks_for_time_is_left_alone_so_long(
    stage: Stage, webhooks: Webhooks, courier: Courier, clock: Clock, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "batch.finished")
    receiver.answers.append(Answer(429, {"retry-after": "7200"}))
    end_a_batch(stage, "b")
    end_a_batch(stage, "c")
    rounds(courier, 2)
    clock.pass_seconds(7000)
    rounds(courier, 2)
    assert len(receiver.posts) == 1
    clock.pass_seconds(300)
    rounds(courier, 2)
    assert len(receiver.posts) == 3
    assert len({post.id for post in receiver.posts}) == 2


def test_redirects_are_not_followed(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver, other_receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    receiver.answers.append(Answer(307, {"location": other_receiver.url}))
    end_a_batch(stage, "b")
    rounds(courier)
    assert other_receiver.posts == []
    last = webhooks.health(webhook).last
    assert last is not None
    assert "redirects are not followed" in last.error


def test_while_a_secret_is_rotated_both_verify(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    (old,) = receiver.secrets
    new = webhooks.rotate(webhook).secret
    end_a_batch(stage, "b")
    rounds(courier)
    (post,) = receiver.posts
    for secret in (old, new):
        receiver.secrets = [secret]
        assert receiver.verified(post.body, post.headers) is not None
    newest = webhooks.rotate(webhook, overlap_seconds=0).secret
    end_a_batch(stage, "c")
    rounds(courier)
    post = receiver.posts[-1]
    for secret in (old, new):
        receiver.secrets = [secret]
        assert receiver.verified(post.body, post.headers) is None
    receiver.secrets = [newest]
    assert receiver.verified(post.body, post.headers) is not None


def test_a_paused_webhook_loses_nothing(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    webhook = listen(webhooks, receiver, "batch.finished")
    webhooks.pause(webhook)
    end_a_batch(stage, "b")
    rounds(courier, 2)
    assert receiver.posts == []
    webhooks.resume(webhook)
    rounds(courier)
    assert [event["data"]["batch"] for event in receiver.events] == ["b"]


def test_a_webhook_of_some_batches_hears_of_no_other(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "all", batches=["summer-*", "batch d?"])
    for batch in ("summer-1", "winter-1", "dx"):
        end_a_batch(stage, batch)
    rounds(courier, 2)
    told = [(event["type"], event["data"]["batch"]) for event in receiver.events]
    assert sorted(told) == [
        ("batch.finished", "dx"),
        ("batch.finished", "summer-1"),
        ("pair.done", "dx"),
        ("pair.done", "summer-1"),
    ]


def test_what_nobody_asked_for_is_not_kept(
    stage: Stage, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    end_a_batch(stage, "before", pairs=2)
    webhook = listen(webhooks, receiver, "batch.failed")
    end_a_batch(stage, "good", pairs=2)
    end_a_batch(stage, "bad", failed=1)
    assert webhooks.backlog().events == 2
    rounds(courier, 2)
    assert [(event["type"], event["data"]["batch"]) for event in receiver.events] == [("batch.failed", "bad")]
    end_a_batch(stage, "left lying", failed=1)
    webhooks.remove(webhook)
    end_a_batch(stage, "after")
    assert webhooks.backlog().events == 1
    listen(webhooks, receiver, "batch.failed")
    rounds(courier, 2)
    assert webhooks.backlog().events == 0
    assert len(receiver.posts) == 1, "it hears of nothing that was before it"


def test_the_backlog_of_a_webhook_that_takes_nothing_is_bounded_but_for_the_ends_of_batches(
    stage: Stage,
    webhooks: Webhooks,
    courier: Courier,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliveries, "MOST_WAITING", 3)
    webhook = listen(webhooks, receiver)
    webhooks.pause(webhook)
    end_a_batch(stage, "b", pairs=5)
    rounds(courier)
    health = webhooks.health(webhook)
    assert (health.waiting, health.dropped) == (4, 2)
    assert {each.message.type for each in webhooks.deliveries(webhook)} == {"pair.done", "batch.finished"}


def test_a_webhook_that_is_added_while_a_courier_is_at_work_hears_of_what_comes_after(
    stage: Stage,
    webhooks: Webhooks,
    courier: Courier,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = courier._registry.all

    def all_before_one_more() -> list[Webhook]:
        monkeypatch.undo()
        before = known()
        listen(webhooks, receiver, "batch.finished")
        end_a_batch(stage, "b")
        return before

    monkeypatch.setattr(courier._registry, "all", all_before_one_more)
    rounds(courier, 2)
    assert [event["data"]["batch"] for event in receiver.events] == ["b"]


def test_an_entry_that_nobody_can_read_holds_up_nothing(
    stage: Stage, connection: Connection, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "batch.finished")
    good = {"batch": "a", "type": "batch.finished", "pair": "", "at_ms": str(now_ms()), "data": "{}"}
    for bad in ({"data": "{"}, {"pair": "x"}, {"at_ms": ""}, {"type": "nobody.knows"}, {}):
        connection.redis.xadd(Keys(stage.deployment.namespace).shared("outbox"), {**good, **bad})
    connection.redis.xadd(Keys(stage.deployment.namespace).shared("outbox"), {"a": "b"})
    end_a_batch(stage, "b")
    rounds(courier)
    assert [event["data"]["batch"] for event in receiver.events] == ["b"]
    assert webhooks.backlog().events == 0


def test_a_server_that_is_out_of_memory_loses_no_event(
    stage: Stage, connection: Connection, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "batch.finished")
    end_a_batch(stage, "b")
    connection.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerUnavailable, match="out of memory"):
            courier.turn()
    finally:
        connection.redis.config_set("maxmemory", "0")
    rounds(courier, 2)
    assert [event["data"]["batch"] for event in receiver.events] == ["b"]


def test_a_nights_end_is_told_once_however_often_it_is_handed_in(
    connection: Connection, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    night = ScheduleIsFinished(
        schedule="nightly", fired_at=datetime(2026, 5, 1, 2, tzinfo=UTC), outcome="done", batch="b", done=7
    )
    assert not add_to_outbox(connection, night)
    listen(webhooks, receiver, "schedule.finished", batches=["nightly"])
    assert add_to_outbox(connection, night)
    rounds(courier)
    assert add_to_outbox(connection, night)
    rounds(courier)
    (event,) = receiver.events
    assert event["type"] == "schedule.finished"
    assert event["data"]["done"] == 7


def test_a_courier_that_is_closed_in_its_turn_leaves_what_lies_there_to_the_next(
    stage: Stage, connection: Connection, webhooks: Webhooks, courier: Courier, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "batch.finished")
    end_a_batch(stage, "b")
    with Courier(connection) as closed:
        pass
    closed.turn()
    assert webhooks.backlog().events == 1
    rounds(courier)
    assert [event["data"]["batch"] for event in receiver.events] == ["b"]


def test_of_two_couriers_at_once_each_event_is_sent_once(
    stage: Stage, connection: Connection, webhooks: Webhooks, receiver: Receiver
) -> None:
    listen(webhooks, receiver, "pair.done")
    end_a_batch(stage, "b", pairs=40)
    with Courier(connection) as first, Courier(connection) as second:
        turns = [threading.Thread(target=courier.turn) for courier in (first, second)]
        for turn in turns:
            turn.start()
        for turn in turns:
            turn.join()
        receiver.wait_for(40, lambda: (first.turn(), second.turn()))
        assert first.settle(30)
        assert second.settle(30)
    assert len(receiver.posts) == len({post.id for post in receiver.posts}) == 40
    assert {event["data"]["pair"] for event in receiver.events} == set(range(40))
