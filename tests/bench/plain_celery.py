"""The baseline: a plain Celery application with late acks, as one writes it from the manual.

`PLAIN_REDIS_URL` is its broker, `PLAIN_VISIBILITY_SECONDS` its visibility timeout, Celery's own when unset.
"""

from __future__ import annotations

import os
import time

import redis
from celery import Celery

URL = os.environ.get("PLAIN_REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery("plain", broker=URL)
app.conf.task_acks_late = True
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True
if "PLAIN_VISIBILITY_SECONDS" in os.environ:
    app.conf.broker_transport_options = {"visibility_timeout": int(os.environ["PLAIN_VISIBILITY_SECONDS"])}


@app.task(name="plain.pair")
def pair(job: dict[str, object], seconds: float) -> None:
    """As much as a pair's message says; the work is to wait."""
    client = redis.Redis.from_url(URL)
    client.rpush("plain:started", f"{os.getpid()}")
    client.close()
    time.sleep(seconds)


@app.task(name="plain.nothing")
def nothing(job: dict[str, object]) -> None:
    """No work at all."""
