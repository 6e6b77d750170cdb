"""What people order of a batch whose pairs run: heard at the next step, with the settings that people have.

Told by the commands and by the Python client at once, each to a batch and a worker of its own. The engine
is a stand-in that gives the content back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from impasto.producer import Client
from impasto.shared.celery_app import queue_keys
from impasto.shared.deployment import Deployment
from impasto.shared.ledger import BatchState, Event, EventType
from noop_worker import FLAKY
from servers import RedisServer
from stage import Stage, folder_stage, picture, png
from workers import eventually

PAIR_SECONDS: Final = 120.0
BROKEN_MS: Final = 20_000
"""Promised are 5 s. So long takes only an order that waits for something else than the next beat: a longer
heart, a sweep that is not due, the end of the pair."""
DEFAULTS: Final = {
    f"IMPASTO_{name.upper()}": str(Deployment.model_fields[name].default)
    for name in ("lease_seconds", "heart_seconds", "sweep_seconds")
}

Order = Callable[[], object]


@dataclass
class Ordered:
    """A batch of four pairs, the first two of which fail at once, and whoever orders it about."""

    stage: Stage
    batch: str
    orders: dict[str, Order]

    def events(self, type: EventType) -> list[Event]:
        return [event for event in self.stage.ledger.events(self.batch) if event.type is type]

    def must_follow(self, order: EventType, effect: EventType) -> None:
        """The effect came after the last such order, and not long after."""
        ordered = self.events(order)[-1]
        after = [e for e in self.stage.ledger.events(self.batch, after=ordered.id) if e.type is effect]
        assert after, f"{effect} never followed {order}"
        assert after[0].at_ms - ordered.at_ms < BROKEN_MS

    def stands(self, *, failed: int, due: int) -> bool:
        status = self.stage.ledger.status(self.batch)
        return (status.failed, status.due) == (failed, due)

    def a_long_pair_runs(self) -> bool:
        running = self.stage.ledger.running(self.batch)
        return any(pair.progress and pair.pair >= 2 for pair in running)

    def has_urgent_messages(self) -> bool:
        return bool(self.stage.client.llen(queue_keys(self.stage.deployment)[0]))

    def now_ms(self) -> int:
        seconds, microseconds = self.stage.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def by_command(stage: Stage, batch: str, folder: Path) -> dict[str, Order]:
    def impasto(*words: str) -> Order:
        def run() -> object:
            command = [sys.executable, "-m", "impasto.producer.cli", *words, "--json"]
            environment = {**os.environ, **stage.environment}
            ran = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert ran.returncode == 0, ran.stderr
            return json.loads(ran.stdout)

        return run

    return {
        "pause": impasto("pause", batch),
        "resume": impasto("resume", batch),
        "retry failed": impasto("retry", batch, "--failed"),
        "retry pairs": impasto("retry", batch, "--pairs", "0"),
        "priority": impasto("priority", batch, "0"),
        "cancel": impasto("cancel", batch),
    }


def by_client(client: Client, batch: str) -> dict[str, Order]:
    return {
        "pause": lambda: client.pause(batch),
        "resume": lambda: client.resume(batch),
        "retry failed": lambda: client.retry(batch),
        "retry pairs": lambda: client.retry(batch, [0]),
        "priority": lambda: client.set_priority(batch, 0),
        "cancel": lambda: client.cancel(batch),
    }


@pytest.fixture
def both(valkey: RedisServer, namespace: str, tmp_path: Path) -> Iterator[list[Ordered]]:
    flaky = [picture(0), picture(1)]
    for each in flaky:
        each.putpixel((0, 0), FLAKY)
    contents = [png(content) for content in (*flaky, picture(2), picture(3))]
    with ExitStack() as stack:
        ordered = []
        for name in ("command", "client"):
            folder = tmp_path / name
            folder.mkdir()
            stage = folder_stage(valkey.url, f"{namespace}-{name}", folder)
            stack.callback(stage.close)
            batch = stage.submit(contents, [png(picture(99))])
            if name == "command":
                orders = by_command(stage, batch, folder)
            else:
                orders = by_client(stack.enter_context(Client(stage.deployment)), batch)
            stack.enter_context(
                stage.noop_worker(
                    folder / "worker.log",
                    seconds=PAIR_SECONDS,
                    steps=1200,
                    IMPASTO_MAX_ATTEMPTS="1",
                    **DEFAULTS,
                )
            )
            ordered.append(Ordered(stage, batch, orders))
        yield ordered


def test_every_order_to_a_running_batch_is_heard_within_seconds_from_command_line_and_client(
    both: list[Ordered],
) -> None:
    def order(name: str, effect: Callable[[Ordered], bool]) -> None:
        for each in both:
            each.orders[name]()
        for each in both:
            eventually(lambda each=each: effect(each), what=f"the effect of {name}")  # type: ignore[misc]

    for each in both:
        eventually(lambda each=each: each.stands(failed=2, due=1), what="two failed pairs")  # type: ignore[misc]
        eventually(each.a_long_pair_runs, what="a running pair")

    order("retry pairs", lambda each: each.stands(failed=1, due=2))
    order("retry failed", lambda each: each.stands(failed=0, due=3))
    for each in both:
        each.must_follow(EventType.BATCH_RETRIED, EventType.BATCH_ADVANCED)

    order("priority", Ordered.has_urgent_messages)
    for each in both:
        assert each.now_ms() - each.events(EventType.BATCH_PRIORITISED)[-1].at_ms < BROKEN_MS

    order("pause", lambda each: each.stage.ledger.status(each.batch).running == 0)
    for each in both:
        each.must_follow(EventType.BATCH_PAUSED, EventType.PAIR_POSTPONED)
        assert each.events(EventType.PAIR_POSTPONED)[-1].data["give_back"]
        assert each.stage.ledger.status(each.batch).state is BatchState.PAUSED

    order("resume", Ordered.a_long_pair_runs)
    for each in both:
        each.must_follow(EventType.BATCH_RESUMED, EventType.PAIR_LEASED)

    order("cancel", lambda each: each.stage.is_over(each.batch))
    for each in both:
        each.must_follow(EventType.BATCH_CANCELLED, EventType.PAIR_CANCELLED)
        status = each.stage.ledger.status(each.batch)
        assert (status.state, status.done) == (BatchState.CANCELLED, 0)
