"""The webhooks of a deployment, as they are kept in Redis."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, cast

import redis
from pydantic import BaseModel, ConfigDict, Field

from impasto.producer.webhooks.payloads import ASKED_FOR, WebhookType
from impasto.producer.webhooks.scripts import Scripts
from impasto.producer.webhooks.urls import same_url, shown_url
from impasto.shared.errors import BadSettings, NoSuchWebhook, Transient
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated

_MOST_TRIES: Final = 20


class WebhookState(StrEnum):
    """Whether deliveries go out."""

    ACTIVE = "active"
    PAUSED = "paused"  # events are kept for it, nothing is sent
    DISABLED = "disabled"  # it answered 410: nothing is kept for it any more


class SigningSecret(BaseModel):
    """A secret, and until when it signs; None: for good."""

    model_config = ConfigDict(frozen=True)

    secret: str = Field(repr=False)
    until_ms: int | None = None


class Webhook(BaseModel):
    """Somebody's URL, and what it is told. `batches` are patterns (`*`, `?`, `[…]`) of ids and names."""

    model_config = ConfigDict(frozen=True)

    id: str
    url: str = Field(repr=False)
    events: tuple[WebhookType, ...]
    batches: tuple[str, ...] = ()
    description: str = ""
    state: WebhookState = WebhookState.ACTIVE
    created_ms: int
    secrets: tuple[SigningSecret, ...] = Field(repr=False)

    @property
    def shown_url(self) -> str:
        """The URL without what may be secret in it."""
        return shown_url(self.url)

    def wants(self, type: WebhookType, *names: str) -> bool:
        """Whether it asked for events of this type, of a batch or schedule that is called so."""
        return type in self.events and (
            not self.batches
            or any(fnmatchcase(name, pattern) for name in names if name for pattern in self.batches)
        )

    def signing(self) -> list[str]:
        """The secrets that sign now, the newest first."""
        now = now_ms()
        return [kept.secret for kept in self.secrets if kept.until_ms is None or kept.until_ms > now]


def checked_types(names: Sequence[str]) -> tuple[WebhookType, ...]:
    """The types by name, `all` for each. Raises BadSettings that names the one that is none."""
    known = {type.value: type for type in ASKED_FOR}
    if "all" in names:
        return ASKED_FOR
    for name in names:
        if name not in known:
            raise BadSettings(f"no event is called {name!r}: choose from {', '.join(known)}, or all")
    if not names:
        raise BadSettings(f"a webhook wants at least one event: choose from {', '.join(known)}, or all")
    return tuple(type for type in ASKED_FOR if type.value in names)


class Registry:
    """Reads and changes webhooks. Safe to share between threads. Every method may raise LedgerUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys, scripts: Scripts) -> None:
        self._client = client
        self._keys = keys
        self._scripts = scripts

    def all(self) -> list[Webhook]:
        """Oldest first."""
        with translated(self._client):
            kept = cast("list[str]", self._client.hvals(self._keys.shared("webhooks")))
        return sorted(
            map(Webhook.model_validate_json, kept), key=lambda webhook: (webhook.created_ms, webhook.id)
        )

    def find(self, name: str) -> Webhook:
        """By its id, a beginning that only one has, or its URL. Raises NoSuchWebhook."""
        webhooks = self.all()
        exact = [webhook for webhook in webhooks if name == webhook.id or same_url(name) == webhook.url]
        found = exact or [webhook for webhook in webhooks if name and webhook.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchWebhook(
                f"{len(found)} webhooks are meant by {shown_name(name)}: "
                f"write an id of {', '.join(webhook.id for webhook in found)}"
            )
        raise NoSuchWebhook(f"no webhook is called {shown_name(name)}: `impasto webhooks list` lists them")

    def get(self, id: str) -> Webhook | None:
        kept = self._get(id)
        return None if kept is None else Webhook.model_validate_json(kept)

    def add(self, webhook: Webhook) -> None:
        self._put(webhook.id, "", webhook.model_dump_json())

    def change(self, id: str, change: Callable[[Webhook], Webhook]) -> Webhook:
        """Change it whole, on top of what others changed meanwhile. Raises NoSuchWebhook."""
        for _ in range(_MOST_TRIES):
            before = self._get(id)
            if before is None:
                raise NoSuchWebhook(f"webhook {id} was removed")
            after = change(Webhook.model_validate_json(before))
            if self._put(id, before, after.model_dump_json()):
                return after
        raise Transient(f"webhook {id} is being changed by others: try again")

    def remove(self, id: str) -> None:
        """With all its deliveries, sent or not."""
        while (before := self._get(id)) is not None and not self._put(id, before, ""):
            pass
        with translated(self._client):
            self._client.unlink(*self._keys.of_webhook(id))

    def _get(self, id: str) -> str | None:
        with translated(self._client):
            return cast("str | None", self._client.hget(self._keys.shared("webhooks"), id))

    def _put(self, id: str, before: str, after: str) -> bool:
        keys = [self._keys.shared("webhooks"), self._keys.shared("wanted")]
        return bool(self._scripts.run("register", keys, id, before, after))


def new_id() -> str:
    return f"wh-{uuid.uuid4().hex[:8]}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def shown_name(name: str) -> str:
    """An id as it is; of a URL only what is not secret."""
    return repr(shown_url(name) if "://" in name else name)
