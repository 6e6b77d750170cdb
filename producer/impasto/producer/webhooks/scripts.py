"""Runs the scripts of the outbox and of deliveries, which lie in `lua/`; headers as the ledger's have."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import redis
from redis.commands.core import Script

from impasto.shared.ledger.loader import read as read_prelude
from impasto.shared.ledger.redis_errors import translated

NAMES: Final = ("claim", "enqueue", "register", "revive", "settle")


def script_text(name: str) -> str:
    """The script as the server gets it: with the ledger's clock and the names of the keys before it."""
    keys = "" if name == "register" else read("_keys")
    return "\n".join([read_prelude("_clock"), keys, read(name)])


def read(name: str) -> str:
    """The text of one file as it lies there."""
    return (files("impasto.producer.webhooks") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """The scripts on one server."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._scripts: dict[str, Script] = {name: client.register_script(script_text(name)) for name in NAMES}

    def run(self, name: str, keys: list[str], *args: str | int) -> Any:
        """Its answer. Raises LedgerUnavailable."""
        with translated(self._client):
            return self._scripts[name](keys=keys, args=args)

    def add(self, step: redis.client.Pipeline, name: str, keys: list[str], *args: str | int) -> None:
        """Let it run as a part of a transaction."""
        self._scripts[name](keys=keys, args=args, client=step)
