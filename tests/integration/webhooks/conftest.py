from __future__ import annotations

from collections.abc import Iterator

import pytest

from impasto.producer.connection import Connection, connect_to
from impasto.producer.webhooks.courier import Courier
from impasto.producer.webhooks.registry import now_ms
from impasto.producer.webhooks.service import Webhooks
from ledger_contract import Clock
from stage import Stage
from webhook_receiver import Receiver


@pytest.fixture
def stage(environment: dict[str, str]) -> Iterator[Stage]:
    """A deployment whose webhooks may lead to this machine."""
    stage = Stage({**environment, "IMPASTO_WEBHOOK_ALLOW": "127.0.0.1"})
    yield stage
    stage.close()


@pytest.fixture
def connection(stage: Stage) -> Iterator[Connection]:
    connection = connect_to(stage.deployment)
    connection.check()
    yield connection
    connection.close()


@pytest.fixture
def webhooks(connection: Connection) -> Webhooks:
    return Webhooks(connection.redis, connection.deployment)


@pytest.fixture
def clock() -> Clock:
    """The courier's time, which only the test moves; ahead of the server's, by which people's orders go."""
    clock = Clock()
    clock.ms = now_ms() + 60_000
    return clock


@pytest.fixture
def courier(connection: Connection, clock: Clock) -> Iterator[Courier]:
    with Courier(connection, clock=clock) as courier:
        yield courier


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def other_receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
