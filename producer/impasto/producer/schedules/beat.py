"""`impasto beat`: fires schedules and does its duties, or stands by until the one that does is gone."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from impasto.producer.client import Client
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.duties import Rounds, duties
from impasto.producer.schedules.entries import Entries, beat_app
from impasto.producer.schedules.runner import Runner
from impasto.producer.schedules.scheduler import BeatService, Tenure
from impasto.shared.deployment import Deployment

log: Any = structlog.get_logger()

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_beat(deployment: Deployment) -> None:
    """Run until SIGINT or SIGTERM; then another beat takes over within seconds.

    Redis may be away meanwhile, and be back as somebody else's: then this one stands by. Raises NotRunning
    where there is no Redis to be found, BadSettings for an address that is none.
    """
    with Client(deployment) as client:
        connection = client.connection
        located = connection.deployment
        app = beat_app(located, located.redis_url or "")
        book = Book(connection.redis, located.namespace)
        entries = Entries(app, connection.redis, book)
        runner = Runner(client, entries, book)
        tenure = Tenure()
        rounds = Rounds(duties(client, runner, book), lambda: tenure.held)
        before = {number: signal.signal(number, _leave) for number in _STOPPING}
        try:
            rounds.start()
            log.info("beat.stands_by", namespace=located.namespace)
            while not _serve(BeatService(app, entries, tenure), tenure):
                time.sleep(app.conf.beat_max_loop_interval)
        except SystemExit:
            # In between two services.
            pass
        finally:
            rounds.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
            app.close()
    log.info("beat.stopped")


def _serve(service: BeatService, tenure: Tenure) -> bool:
    """Whether it ended because it was told to, and not because it lost Redis or its lock."""
    try:
        service.start()
    except RedisError as error:
        log.warning("beat.lost", why=" ".join(str(error).split()))
        return False
    finally:
        tenure.end()
    return True


def _leave(number: int, frame: FrameType | None) -> None:
    # Celery's loop takes this as the wish to end, and gives the lock back on its way out.
    sys.exit(0)
