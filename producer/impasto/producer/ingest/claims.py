"""Which object versions are submitted together: decided once for each, whoever is killed in between.

A batch has one token, but messages come again in other company. So before anything is submitted each object
version is claimed for a group, whose list is kept until the group is a batch. Whoever meets a version of a
group that is none yet submits that group, whole and with its own token, and the ledger makes one batch of it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Final, cast

import redis

from impasto.producer.ingest.events import CreatedObject
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.policy import TOKEN_SECONDS
from impasto.shared.ledger.redis_errors import translated

_TTL_MS: Final = TOKEN_SECONDS * 1000
"""As long as a token is known; a queue keeps no message for half of it."""


@dataclass(frozen=True)
class Group:
    """Object versions that are one batch; `token` is the batch's."""

    token: str
    objects: tuple[CreatedObject, ...]


class Claims:
    """The claims of one queue: another one on the same bucket makes batches of its own."""

    def __init__(self, client: redis.Redis, namespace: str, queue_url: str) -> None:
        self._client = client
        self._keys = Keys(namespace)
        self._scope = hashlib.sha256(queue_url.encode()).hexdigest()[:12]
        self._script = client.register_script(
            (files("impasto.producer.ingest") / "claim.lua").read_text(encoding="utf-8")
        )

    def groups(self, objects: Sequence[CreatedObject]) -> list[Group]:
        """The groups that are still to be submitted for these objects; none for what is done already.

        Raises LedgerUnavailable.
        """
        if not objects:
            return []
        token = f"ingest-{secrets.token_hex(16)}"
        with translated(self._client):
            owners = cast(
                "list[str]",
                self._script(
                    keys=[self._plan_key(token), *(self._object_key(one) for one in objects)],
                    args=[token, _TTL_MS, *(json.dumps(asdict(one)) for one in objects)],
                ),
            )
            tokens = list(dict.fromkeys(owners))
            plans = cast("list[str | None]", self._client.mget([self._plan_key(one) for one in tokens]))
        return [
            Group(one, tuple(CreatedObject(**fields) for fields in json.loads(plan)))
            for one, plan in zip(tokens, plans, strict=True)
            if plan is not None
        ]

    def settle(self, group: Group) -> None:
        """The group is a batch, or will never be one. Raises LedgerUnavailable."""
        with translated(self._client):
            self._client.delete(self._plan_key(group.token))

    def _plan_key(self, token: str) -> str:
        return self._keys.shared(f"ingest:{self._scope}:plan:{token}")

    def _object_key(self, one: CreatedObject) -> str:
        return self._keys.shared(f"ingest:{self._scope}:object:{one.identity[:32]}")
