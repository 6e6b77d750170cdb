"""Webhooks: people's URLs hear of what happens, signed, tried for days, never twice under two names.

`outbox.py` has what is to be told, `courier.py` tells it, `service.py` is what people do with webhooks. A
program that has an event of its own hands it in with `add_to_outbox`.
"""

from impasto.producer.webhooks.outbox import add_to_outbox
from impasto.producer.webhooks.payloads import ScheduleIsFinished

__all__ = ["ScheduleIsFinished", "add_to_outbox"]
