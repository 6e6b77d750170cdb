"""Secrets of webhooks, and signatures by the Standard Webhooks scheme (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

from impasto.shared.errors import BadSettings

PREFIX: Final = "whsec_"
_FEWEST_BYTES, _MOST_BYTES = 24, 64  # the scheme's bounds


def new_secret() -> str:
    """A secret of 32 random bytes, as `whsec_` and base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def checked_secret(secret: str) -> str:
    """Raises BadSettings, which does not repeat the secret."""
    text = secret.strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not _FEWEST_BYTES <= len(key) <= _MOST_BYTES:
        raise BadSettings(
            f"a webhook's secret is {PREFIX} and the base64 of {_FEWEST_BYTES} to {_MOST_BYTES} random "
            "bytes: leave it out and one is made"
        )
    return text


def signed_headers(message: str, body: str, signing: Iterable[str]) -> dict[str, str]:
    """The scheme's three headers, stamped now; one signature a secret, so that either verifies."""
    now = datetime.now(UTC)
    signatures = (Webhook(secret).sign(message, now, body) for secret in signing)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
