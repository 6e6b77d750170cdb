"""What the beat does beside firing schedules, each duty at its own pace on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from impasto.producer.client import Client
from impasto.producer.nights import finish_nights
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.hours import keep_hours
from impasto.producer.schedules.runner import Runner
from impasto.producer.webhooks.courier import Courier
from impasto.shared.errors import Transient

log: Any = structlog.get_logger()


@dataclass(frozen=True)
class Duty:
    """`turn` does what there is to do now and comes back; only the process that is the beat calls it.

    It may be cut off at any point, and two processes may be in it for a moment while one takes over from the
    other: what it does must be safe to repeat. `end` is called once, when the process ends by its own will.
    """

    name: str
    turn: Callable[[], object]
    every_seconds: float
    end: Callable[[], object] | None = None


def duties(client: Client, runner: Runner, book: Book) -> list[Duty]:
    """All that a beat does; a new one is one more line."""
    courier = Courier(client.connection)
    return [
        Duty("fires", runner.turn, 1.0, runner.put_back),
        Duty("hours", lambda: keep_hours(client.connection, book), 5.0),
        Duty("nights", lambda: finish_nights(client), 10.0),
        Duty("webhooks", courier.turn, 1.0, courier.close),
    ]


class Rounds:
    """Has duties done while `held` says that this process is the beat."""

    def __init__(self, todo: Iterable[Duty], held: Callable[[], bool]) -> None:
        self._duties = tuple(todo)
        self._held = held
        self._stopping = threading.Event()

    def start(self) -> None:
        """Each on a daemon thread: none may keep the process from ending."""
        for duty in self._duties:
            threading.Thread(target=self._go_round, args=(duty,), name=duty.name, daemon=True).start()

    def stop(self) -> None:
        """Begin no further turn, and end each duty."""
        self._stopping.set()
        for duty in self._duties:
            if duty.end is not None:
                duty.end()

    def _go_round(self, duty: Duty) -> None:
        while not self._stopping.wait(duty.every_seconds):
            if not self._held():
                continue
            try:
                duty.turn()
            except Transient as error:
                log.warning("duty.waits", duty=duty.name, why=str(error))
            except Exception:
                # One duty's fault must not end the others, nor itself for good.
                log.exception("duty.fault", duty=duty.name)
