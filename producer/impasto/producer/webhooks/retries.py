"""When a delivery that was not taken is tried again, and when it is given up."""

from __future__ import annotations

import random
from typing import Final

from impasto.producer.webhooks.post import GONE, Answer

_MINUTE, _HOUR = 60.0, 3600.0
DELAYS_SECONDS: Final = (
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
"""After the first, second, … try: ten in some three days, as the Standard Webhooks specification has it."""
ATTEMPTS: Final = len(DELAYS_SECONDS) + 1
_JITTER: Final = 0.2


def delay_seconds(attempt: int, answer: Answer) -> float | None:
    """Until the next try after that one (from 1); None: it is given up.

    Up to a fifth longer than in the list, so that what failed together does not come back together. An
    endpoint that says when is believed, but not that it be sooner.
    """
    if answer.status == GONE or attempt >= ATTEMPTS:
        return None
    delay = DELAYS_SECONDS[attempt - 1] * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311 - spreads load
    return max(delay, answer.retry_after_seconds or 0.0)
