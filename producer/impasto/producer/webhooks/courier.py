"""The courier: takes events from the outbox and posts them to webhooks until each is taken or given up.

Any number may run at once, and each may die at any moment: an event leaves the outbox in the transaction that
makes its deliveries, a delivery is claimed for a while before it is posted, and one that was posted but not
noted is posted again with the same `webhook-id`.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import structlog

from impasto.producer.connection import Connection
from impasto.producer.webhooks.addresses import Allowed, Resolve, system_resolve
from impasto.producer.webhooks.deliveries import Claim, Deliveries, Message
from impasto.producer.webhooks.narrator import Narrator
from impasto.producer.webhooks.outbox import OutboxEntry, waiting_entries
from impasto.producer.webhooks.payloads import WebhookEvent, WebhookType
from impasto.producer.webhooks.post import GONE, Answer, Poster
from impasto.producer.webhooks.registry import Registry, Webhook, WebhookState
from impasto.producer.webhooks.retries import delay_seconds
from impasto.producer.webhooks.scripts import Scripts
from impasto.producer.webhooks.signing import signed_headers
from impasto.producer.webhooks.urls import checked_url
from impasto.shared.errors import BadSettings, ImpastoError, Transient
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated

log = structlog.get_logger()

LANES: Final = 16
"""Webhooks that are posted to at once, each by one thread: a slow one takes nobody's but its own turn."""
_LANE_SECONDS: Final = 30.0
"""After which a webhook leaves its lane to another, where there are more webhooks than lanes."""
_ENTRIES_A_TURN: Final = 500
_TURN_SECONDS: Final = 10.0
_READERS: Final = 8
_NAME_CHARACTERS: Final = 26


class Courier:
    """Does what is to be done whenever `turn` is called: every second or so, by one thread.

    A context manager. `resolve` and `clock` are for tests that move names and time.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        resolve: Resolve = system_resolve,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._redis = connection.redis
        self._keys = Keys(connection.deployment.namespace)
        self._scripts = Scripts(connection.redis)
        self._registry = Registry(connection.redis, self._keys, self._scripts)
        self._narrator = Narrator(connection)
        self._poster = Poster(Allowed.of(connection.deployment.webhook_allow), resolve)
        self._clock = clock
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="narrator")
        self._lanes: set[str] = set()
        self._changed = threading.Condition()
        self._ended = False

    def turn(self) -> None:
        """Take what lies in the outbox and start to post what is due; returns without waiting for the posts.

        Raises LedgerUnavailable; nothing is lost by it.
        """
        webhooks = self._registry.all()
        # Where there are more than lanes, none is always the last.
        random.shuffle(webhooks)
        try:
            self._take()
        except (RuntimeError, CancelledError):
            # Closed meanwhile, it has no readers any more: what lies there is for the next courier.
            if not self._ended:
                raise
        finally:
            for webhook in webhooks:
                if webhook.state is WebhookState.ACTIVE and self._of(webhook.id).waiting():
                    self._open_lane(webhook.id)

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until no post is under way; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lanes, timeout=timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Start no further post and wait a little for those under way; what is not noted is posted again."""
        self._ended = True
        self.settle(timeout_seconds)
        self._readers.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> None:
        """Make deliveries of what lies in the outbox, as far as a turn goes."""
        deadline = time.monotonic() + _TURN_SECONDS
        taken = 0
        page: list[OutboxEntry] = []
        stuck: dict[str, str] = {}

        def flush() -> int:
            # After the entries: whoever was added before one of them came to be is among them.
            webhooks = self._registry.all() if page else []
            told = list(self._readers.map(lambda entry: self._told(entry, webhooks, stuck), page))
            for entry, deliveries in zip(page, told, strict=True):
                if deliveries is not None:
                    self._hand_over(entry, deliveries)
            count = len(page)
            page.clear()
            return count

        for entry in waiting_entries(self._redis, self._keys):
            if taken >= _ENTRIES_A_TURN or time.monotonic() > deadline:
                break
            if entry.batch in stuck or self._narrator.is_early(entry, self._now()):
                continue
            page.append(entry)
            if len(page) >= 4 * _READERS:
                taken += flush()
        flush()
        for batch, why in stuck.items():
            log.warning("webhook.untold", batch=batch, error=why)

    def _told(
        self, entry: OutboxEntry, webhooks: list[Webhook], stuck: dict[str, str]
    ) -> list[tuple[Webhook, str, Message]] | None:
        """What becomes of the entry; None: the store does not answer, and it stays for a later turn."""
        if entry.batch in stuck:
            return None
        try:
            return self._deliveries_of(entry, webhooks)
        except Transient as error:
            stuck[entry.batch] = str(error)
            return None
        except Exception:
            # An entry that nobody can read must not hold up those behind it for ever.
            log.exception("webhook.unreadable", type=entry.type, batch=entry.batch, entry=entry.id)
            return []

    def _deliveries_of(
        self, entry: OutboxEntry, webhooks: list[Webhook]
    ) -> list[tuple[Webhook, str, Message]]:
        """What each webhook is told of it: nothing of what was before it was added.

        Nothing is read from the store where nobody asked.
        """
        told = {WebhookType(entry.type)}
        if WebhookType.BATCH_FINISHED in told:
            told.add(WebhookType.BATCH_FAILED)
        asking = [
            (webhook, {type for type in told if type in webhook.events})
            for webhook in webhooks
            if webhook.state is not WebhookState.DISABLED and webhook.created_ms <= entry.at_ms
        ]
        if not any(types for _, types in asking):
            return []
        filtered = any(types and webhook.batches for webhook, types in asking)
        names = self._narrator.names(entry) if filtered else ()
        wanting = [
            (webhook, {type for type in types if webhook.wants(type, *names)}) for webhook, types in asking
        ]
        wanted = frozenset(type for _, types in wanting for type in types)
        if not wanted:
            return []
        return [
            (webhook, _message_id(webhook, entry, event), _message(entry, event))
            for event in self._narrator.events(entry, wanted)
            for webhook, types in wanting
            if event.type in types
        ]

    def _hand_over(self, entry: OutboxEntry, deliveries: list[tuple[Webhook, str, Message]]) -> None:
        """All of them, and the entry is gone; or nothing."""
        with translated(self._redis), self._redis.pipeline(transaction=True) as step:
            for number, (webhook, id, message) in enumerate(deliveries, start=1):
                self._of(webhook.id).enqueue(step, entry, id, message, last=number == len(deliveries))
            if not deliveries:
                step.xdel(self._keys.shared("outbox"), entry.id)
            step.execute()

    def _open_lane(self, webhook: str) -> None:
        with self._changed:
            if webhook in self._lanes or len(self._lanes) >= LANES or self._ended:
                return
            self._lanes.add(webhook)
        # A daemon: a post that hangs does not keep the process from ending, and is made again by the next.
        threading.Thread(target=self._lane, args=(webhook,), name=f"courier {webhook}", daemon=True).start()

    def _lane(self, id: str) -> None:
        """Post one webhook's deliveries, one after the other, until none is due or it is another's turn."""
        deliveries = self._of(id)
        until = time.monotonic() + _LANE_SECONDS
        try:
            # Read anew for each: it may have been paused, given a new secret, or removed a moment ago.
            while (webhook := self._registry.get(id)) is not None and webhook.state is WebhookState.ACTIVE:
                claim = None if self._ended else deliveries.claim()
                if claim is None:
                    return
                self._deliver(webhook, deliveries, claim)
                if len(self._lanes) >= LANES and time.monotonic() > until:
                    return
        except ImpastoError as error:
            log.warning("webhook.unsettled", webhook=id, error=str(error))
        except Exception:
            log.exception("webhook.unexpected", webhook=id)
        finally:
            with self._changed:
                self._lanes.discard(id)
                self._changed.notify_all()

    def _deliver(self, webhook: Webhook, deliveries: Deliveries, claim: Claim) -> None:
        answer = post(self._poster, webhook, claim.id, claim.message.body)
        said = {
            "webhook": webhook.id,
            "message": claim.id,
            "type": claim.message.type,
            "attempt": claim.attempt,
            "status": answer.status,
        }
        if answer.taken:
            deliveries.taken(claim, answer)
            log.info("webhook.delivered", seconds=round(answer.seconds, 3), **said)
            return
        delay = delay_seconds(claim.attempt, answer)
        if answer.status == GONE:
            self._registry.change(webhook.id, _disabled)
        if delay is None:
            deliveries.given_up(claim, answer)
            log.error("webhook.given_up", error=answer.error, **said)
        else:
            deliveries.again(claim, answer, delay)
            log.warning("webhook.refused", error=answer.error, again_in_seconds=round(delay), **said)

    def _of(self, webhook: str) -> Deliveries:
        return Deliveries(self._redis, self._keys, self._scripts, webhook, self._clock)

    def _now(self) -> int:
        return time.time_ns() // 1_000_000 if self._clock is None else self._clock()


def post(poster: Poster, webhook: Webhook, message: str, body: str) -> Answer:
    """Sign with the webhook's secrets and send, if its URL may still be used."""
    try:
        checked_url(webhook.url, poster.allowed)
    except BadSettings as error:
        return Answer(0.0, error=str(error))
    return poster.post(webhook.url, body, signed_headers(message, body, webhook.signing()))


def _disabled(webhook: Webhook) -> Webhook:
    return webhook.model_copy(update={"state": WebhookState.DISABLED})


def _message(entry: OutboxEntry, event: WebhookEvent) -> Message:
    return Message(event.type.value, entry.batch, entry.pair, entry.at_ms, event.model_dump_json())


def _message_id(webhook: Webhook, entry: OutboxEntry, event: WebhookEvent) -> str:
    """The same for the same event and webhook, whichever courier takes it, however often."""
    told: tuple[object, ...] = (entry.id, entry.batch, entry.pair)
    if entry.type == WebhookType.SCHEDULE_FINISHED:
        # Handed in again after a crash it is another entry, and the same event.
        told = (entry.data["schedule"], entry.data["fired_at"])
    identity = "\n".join(map(str, (webhook.id, event.type.value, *told)))
    return f"msg_{hashlib.sha256(identity.encode()).hexdigest()[:_NAME_CHARACTERS]}"
