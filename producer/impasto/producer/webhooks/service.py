"""`client.webhooks`: add, list, steer and try the webhooks of a deployment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx
import redis

from impasto.producer.webhooks.addresses import Allowed, Resolve, resolved, system_resolve
from impasto.producer.webhooks.courier import post
from impasto.producer.webhooks.deliveries import Deliveries, Delivery, DeliveryState, Health
from impasto.producer.webhooks.narrator import REPORT_SECONDS
from impasto.producer.webhooks.outbox import server_ms
from impasto.producer.webhooks.payloads import DEFAULT_TYPES, IsATest, WebhookTest
from impasto.producer.webhooks.post import Answer, Poster, Unreachable
from impasto.producer.webhooks.registry import (
    Registry,
    SigningSecret,
    Webhook,
    WebhookState,
    checked_types,
    new_id,
    now_ms,
)
from impasto.producer.webhooks.scripts import Scripts
from impasto.producer.webhooks.signing import checked_secret, new_secret
from impasto.producer.webhooks.urls import checked_url, host_and_port
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, NoSuchWebhook
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated

OVERLAP_SECONDS: Final = 24 * 3600.0
"""For how long the secret before the last signs too, so that a receiver has time to learn the new one."""
_SHOWN: Final = 100
_LYING_SECONDS: Final = 2 * REPORT_SECONDS


@dataclass(frozen=True)
class Added:
    """A new webhook, its secret (which is never shown again), and what a person should know of it."""

    webhook: Webhook
    secret: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tested:
    """What came of a test, and the secret that was made up for it where nobody gave one.

    `waiting`: deliveries of the webhook, if it is one, that are not taken yet.
    """

    answer: Answer
    message: str
    shown_url: str
    secret: str | None = None
    waiting: int = 0


@dataclass(frozen=True)
class Backlog:
    """Events that no courier has taken yet: how many, since when, and how many found no room."""

    events: int
    oldest_ms: int | None
    dropped: int

    @property
    def is_left_lying(self) -> bool:
        """Whether no courier can be at work; the end of a batch may wait for its report for a while."""
        return self.oldest_ms is not None and now_ms() - self.oldest_ms > _LYING_SECONDS * 1000


class Webhooks:
    """The webhooks of one deployment. Safe to share between threads; all may raise LedgerUnavailable.

    `webhook` is an id everywhere, a beginning that only one has, or its URL. Raises NoSuchWebhook.
    """

    def __init__(
        self, client: redis.Redis, deployment: Deployment, *, resolve: Resolve = system_resolve
    ) -> None:
        self._client = client
        self._keys = Keys(deployment.namespace)
        self._scripts = Scripts(client)
        self._registry = Registry(client, self._keys, self._scripts)
        self._allowed = Allowed.of(deployment.webhook_allow)
        self._resolve = resolve
        self._poster = Poster(self._allowed, resolve)

    def add(
        self,
        url: str,
        *,
        events: Sequence[str] = DEFAULT_TYPES,
        batches: Sequence[str] = (),
        description: str = "",
        secret: str | None = None,
    ) -> Added:
        """From now on tell this URL of these events (`all`: of each).

        `batches`: patterns (`*`, `?`, `[…]`) of ids or names of batches, or names of schedules; none: all.
        `secret`: `whsec_…`; one is made unless given. Raises BadSettings for a URL or host that may not be
        used, Transient when its name can't be looked up now. A host that does not answer is only warned of.
        """
        checked = checked_url(url, self._allowed)
        if any(known.url == checked for known in self._registry.all()):
            raise BadSettings("that URL is a webhook already: `impasto webhooks list` shows it")
        host, port = host_and_port(checked)
        resolved(host, port, self._allowed, self._resolve)
        warnings = []
        try:
            self._poster.reach(host, port, tls=httpx.URL(checked).scheme == "https")
        except Unreachable as error:
            warnings.append(
                f"{host}:{port} can't be reached now ({error}); events are kept for it, and tried for some "
                "three days"
            )
        used = checked_secret(secret) if secret is not None else new_secret()
        webhook = Webhook(
            id=new_id(),
            url=checked,
            events=checked_types(events),
            batches=tuple(pattern for pattern in batches if pattern != "all"),
            description=" ".join(description.split()),
            created_ms=server_ms(self._client),
            secrets=(SigningSecret(secret=used),),
        )
        self._registry.add(webhook)
        return Added(webhook, used, tuple(warnings))

    def list(self) -> Sequence[Webhook]:
        """All of them, the oldest first."""
        return self._registry.all()

    def find(self, webhook: str) -> Webhook:
        return self._registry.find(webhook)

    def health(self, webhook: str) -> Health:
        """How its deliveries fare."""
        return self._of(self.find(webhook)).health()

    def remove(self, webhook: str) -> Webhook:
        """Tell it nothing any more; what waits for it is forgotten."""
        found = self.find(webhook)
        self._registry.remove(found.id)
        return found

    def pause(self, webhook: str) -> Webhook:
        """Send nothing until `resume`; events are kept meanwhile."""
        return self._into(webhook, WebhookState.PAUSED)

    def resume(self, webhook: str) -> Webhook:
        """Send again, at once what waits. Also for one that was switched off since it answered 410."""
        resumed = self._into(webhook, WebhookState.ACTIVE)
        self._of(resumed).revive()
        return resumed

    def rotate(
        self, webhook: str, *, secret: str | None = None, overlap_seconds: float = OVERLAP_SECONDS
    ) -> Added:
        """Sign with a new secret, and with the last one too for so long."""
        used = checked_secret(secret) if secret is not None else new_secret()
        until_ms = now_ms() + round(overlap_seconds * 1000)

        def rotated(before: Webhook) -> Webhook:
            last = before.secrets[0]
            kept = (SigningSecret(secret=last.secret, until_ms=until_ms),) if overlap_seconds > 0 else ()
            if last.secret == used:
                raise BadSettings("that is the secret it has: give another, or none and one is made")
            return before.model_copy(update={"secrets": (SigningSecret(secret=used), *kept)})

        return Added(self._registry.change(self.find(webhook).id, rotated), used)

    def test(self, webhook: str, *, secret: str | None = None) -> Tested:
        """Send a signed `webhook.test` now, to a webhook or to any URL, and tell what came back.

        To a URL that is no webhook with `secret`, or with one that is made up. Raises BadSettings for a URL
        that may not be used.
        """
        try:
            found = self.find(webhook)
        except NoSuchWebhook:
            if "://" not in webhook:
                raise
            found = None
        made = None
        if found is None:
            made = new_secret() if secret is None else None
            used = made or checked_secret(secret or "")
            found = Webhook(
                id="",
                url=checked_url(webhook, self._allowed),
                events=(),
                created_ms=0,
                secrets=(SigningSecret(secret=used),),
            )
            resolved(*host_and_port(found.url), self._allowed, self._resolve)
        message = f"msg_test_{time.time_ns():x}"
        event = WebhookTest(
            timestamp=datetime.now(UTC), data=IsATest(message="This is a test by `impasto webhooks test`.")
        )
        answer = post(self._poster, found, message, event.model_dump_json())
        waiting = self._of(found).waiting() if found.id else 0
        return Tested(answer, message, found.shown_url, made, waiting)

    def deliveries(
        self, webhook: str | None = None, *, state: DeliveryState | None = None, limit: int = _SHOWN
    ) -> Sequence[Delivery]:
        """Of one webhook or of all, in one state or in any; of each webhook and state `limit` at most.

        Dead ones are kept up to 1,000 a webhook, delivered ones up to 100.
        """
        webhooks = [self.find(webhook)] if webhook is not None else self.list()
        return [
            delivery
            for each in webhooks
            for wanted in ([state] if state is not None else DeliveryState)
            for delivery in self._of(each).in_state(wanted, limit)
        ]

    def redeliver(self, delivery: str) -> Delivery:
        """Send it again now, with all its tries, under the same `webhook-id`. Raises NoSuchWebhook."""
        for webhook in self.list():
            deliveries = self._of(webhook)
            if deliveries.find(delivery) is not None:
                deliveries.revive([delivery])
                found = deliveries.find(delivery)
                if found is not None:
                    return found
        raise NoSuchWebhook(f"no delivery is called {delivery!r}: `impasto webhooks deliveries` lists them")

    def redeliver_dead(self, webhook: str) -> int:
        """Send again all that was given up for it; how many."""
        deliveries = self._of(self.find(webhook))
        return deliveries.revive([dead.id for dead in deliveries.in_state(DeliveryState.DEAD)])

    def backlog(self) -> Backlog:
        """What the courier has still to take."""
        with self._client.pipeline(transaction=True) as reads, translated(self._client):
            reads.xlen(self._keys.shared("outbox"))
            reads.xrange(self._keys.shared("outbox"), count=1)
            reads.hvals(self._keys.shared("wanted"))
            events, oldest, dropped = reads.execute()
        return Backlog(events, int(oldest[0][1]["at_ms"]) if oldest else None, sum(map(int, dropped)))

    def _into(self, webhook: str, state: WebhookState) -> Webhook:
        def changed(before: Webhook) -> Webhook:
            return before.model_copy(update={"state": state})

        return self._registry.change(self.find(webhook).id, changed)

    def _of(self, webhook: Webhook) -> Deliveries:
        return Deliveries(self._client, self._keys, self._scripts, webhook.id)
