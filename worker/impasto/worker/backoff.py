"""How long to wait before the next try."""

from __future__ import annotations

import random

from impasto.shared.deployment import Deployment
from impasto.shared.errors import Transient


def backoff_seconds(deployment: Deployment, attempt: int, error: Exception) -> float:
    """Doubles from `retry_base_seconds` with each attempt (from 1) up to `retry_max_seconds`.

    Spread over its upper half, so that pairs which failed together do not come back together. An error that
    knows better when to try again is believed.
    """
    if isinstance(error, Transient) and error.retry_after_seconds is not None:
        return min(error.retry_after_seconds, deployment.retry_max_seconds)
    full = min(deployment.retry_max_seconds, deployment.retry_base_seconds * 2.0 ** (attempt - 1))
    return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
