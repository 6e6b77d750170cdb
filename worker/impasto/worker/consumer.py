"""Celery's consumer, except that a message which is no pair job is kept instead of dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.worker.consumer import Consumer
from kombu import Message

Bury = Callable[[str, str], None]
"""Takes the raw message and the reason it was buried."""


def burying_consumer(bury: Bury) -> type[Consumer]:
    """A consumer class that hands undecodable, unknown and malformed messages to `bury`, then acks them."""

    class BuryingConsumer(Consumer):
        def on_decode_error(self, message: Message, exc: Exception) -> None:
            bury(_raw(message), f"cannot be decoded: {exc}")
            message.ack()

        def on_unknown_message(self, body: Any, message: Message) -> None:
            bury(_raw(message), "is no Celery task message")
            message.ack()

        def on_unknown_task(self, body: Any, message: Message, exc: Exception) -> None:
            bury(_raw(message), f"names a task that this worker does not have: {exc}")
            message.ack()

        def on_invalid_task(self, body: Any, message: Message, exc: Exception) -> None:
            bury(_raw(message), f"is an invalid task message: {exc}")
            message.ack()

    return BuryingConsumer


def install(app: Celery, bury: Bury) -> None:
    """Make workers of this application use the burying consumer."""
    app.conf.worker_consumer = burying_consumer(bury)


def _raw(message: Message) -> str:
    body = message.body
    text = body.decode("utf-8", "backslashreplace") if isinstance(body, bytes) else str(body)
    return text[:20_000]
