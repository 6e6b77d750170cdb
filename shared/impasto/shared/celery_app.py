"""The Celery application that both sides speak through: JSON messages, late acks, one message at a time.

Each setting that looks odd answers a trap that was measured; tests/integration/test_celery_traps.py has one
test for each.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

from celery import Celery
from kombu import Queue

from impasto.shared.deployment import Deployment

PRIORITY_STEPS: Final = tuple(range(10))
"""Redis has no priorities: kombu keeps one list for each of these, the first served first.

One for each priority that a batch can have: with kombu's own four, 4 would wait in line with 5.
"""

_SEPARATOR: Final = "\x06\x16"


def make_app(deployment: Deployment, redis_url: str) -> Celery:
    """A Celery application on that Redis. Opens no connection."""
    app = Celery("impasto", set_as_current=False, loader="celery.loaders.app:AppLoader")
    app.conf.update(celery_settings(deployment, redis_url))
    return app


def celery_settings(deployment: Deployment, redis_url: str) -> dict[str, Any]:
    """All that Impasto sets, by Celery's names."""
    namespace = deployment.namespace
    return {
        "broker_url": redis_url,
        **_encrypted(redis_url),
        "broker_transport_options": {
            "visibility_timeout": deployment.visibility_seconds,
            "priority_steps": list(PRIORITY_STEPS),
            "queue_order_strategy": "priority",
            "sep": _SEPARATOR,
            "unacked_key": f"{namespace}.unacked",
            "unacked_index_key": f"{namespace}.unacked_index",
            "unacked_mutex_key": f"{namespace}.unacked_mutex",
            # kombu passes no timeout of its own: a half-dead connection would hang a worker for ever.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_queues": [Queue(deployment.queue)],
        "task_default_queue": deployment.queue,
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        "worker_pool": "solo",
        "worker_concurrency": 1,
        # With a multiplier of 1, an ack that fails while Redis is down leaves the worker alive and deaf.
        "worker_prefetch_multiplier": 0,
        "worker_disable_prefetch": True,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # It would sleep inside the signal handler and freeze the running optimisation.
        "worker_soft_shutdown_timeout": 0,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _encrypted(redis_url: str) -> dict[str, Any]:
    """kombu would take any certificate for `rediss://`; redis-py, beside it, does not."""
    if not redis_url.startswith("rediss://") or "ssl_cert_reqs" in redis_url:
        return {}
    return {"broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED}}


def queue_keys(deployment: Deployment) -> list[str]:
    """The Redis lists in which messages wait, the most urgent first."""
    return [f"{deployment.queue}{_SEPARATOR}{step}" if step else deployment.queue for step in PRIORITY_STEPS]
