"""Schedules as RedBeat's entries in Redis: when each fires next, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import redis
import structlog
from celery import Celery
from celery.schedules import BaseSchedule, schedstate
from redbeat.decoder import RedBeatJSONEncoder  # type: ignore[import-untyped]
from redbeat.schedulers import RedBeatSchedulerEntry, ensure_conf  # type: ignore[import-untyped]
from redis.client import Pipeline

from impasto.producer.schedules.book import Book
from impasto.producer.schedules.cron import last_fire, next_fire
from impasto.producer.schedules.records import Fire
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.producer.schedules.zones import zone
from impasto.shared.celery_app import make_app
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, NoSuchSchedule
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated
from impasto.shared.printable import printable

log: Any = structlog.get_logger()

LOOP_SECONDS: Final = 5.0
"""How often a beat looks what is due, and a standby whether the lock is free."""


def beat_app(deployment: Deployment, redis_url: str) -> Celery:
    """The Celery application of beats: RedBeat's settings beside ours. Opens no connection."""
    app = make_app(deployment, redis_url)
    app.conf.update(
        redbeat_redis_url=redis_url,
        redbeat_key_prefix=Keys(deployment.namespace).shared("beat:"),
        redbeat_lock_timeout=deployment.beat_lock_seconds,
        # As of the ledger's client: without them a half-dead connection would hang it for ever.
        redbeat_redis_options={
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        # The standby polls as often, so that together they stay below the two minutes that are promised.
        beat_max_loop_interval=min(LOOP_SECONDS, deployment.beat_lock_seconds / 4),
        # With it Celery would add an entry of its own, to clean up results that nobody keeps.
        result_expires=None,
    )
    ensure_conf(app)
    return app


class CronSchedule(BaseSchedule):
    """Tells Celery when a cron expression fires in its own time zone: `crontab` knows only the app's."""

    def __init__(
        self,
        expression: str,
        timezone: str,
        nowfun: Callable[[], datetime] | None = None,
        app: Celery | None = None,
    ) -> None:
        super().__init__(nowfun=nowfun, app=app)
        self.expression = expression
        self.timezone = timezone

    def next(self, after: datetime) -> datetime:
        """The first fire after that moment."""
        return next_fire(self.expression, zone(self.timezone), after)

    def last(self, *, after: datetime, until: datetime) -> datetime | None:
        """The last fire between the two, if there is one."""
        return last_fire(self.expression, zone(self.timezone), after=after, until=until)

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        return self.next(last_run_at) - self.now()

    def is_due(self, last_run_at: datetime) -> schedstate:
        now = self.now()
        due_at = self.next(last_run_at)
        is_due = due_at <= now
        return schedstate(is_due, ((self.next(now) if is_due else due_at) - now).total_seconds())


class Entry(RedBeatSchedulerEntry):  # type: ignore[misc]
    """A schedule. `last_run_at` is the nominal time of its last fire, or when it was added or resumed."""

    name: str
    schedule: CronSchedule
    kwargs: dict[str, Any]
    last_run_at: datetime | None
    total_run_count: int

    @classmethod
    def of(cls, spec: ScheduleSpec, app: Celery, last_run_at: datetime) -> Entry:
        entry: Entry = cls(app=app, last_run_at=last_run_at, **_fields(spec))
        return entry

    @staticmethod
    def decode_definition(definition: str) -> dict[str, Any]:
        """RedBeat's own decoder knows Celery's kinds of schedules only. Raises BadSettings."""
        return _fields(ScheduleSpec.make(**json.loads(definition)["kwargs"]["spec"]))

    @classmethod
    def from_key(cls, key: str, app: Celery | None = None) -> RedBeatSchedulerEntry:
        """One that never fires for what another version wrote, or in a zone that this machine does not know.

        Raises KeyError for one that is gone: RedBeat takes it off its queue for good.
        """
        try:
            return super().from_key(key, app)
        except BadSettings as error:
            # A beat that can read it, once it takes over, must find it in its place.
            log.error("schedule.unreadable", key=key, error=str(error))
            return RedBeatSchedulerEntry(name=key, enabled=False, app=app)

    @property
    def spec(self) -> ScheduleSpec:
        return ScheduleSpec.model_validate(self.kwargs["spec"])

    @property
    def came_to(self) -> datetime:
        """All fires up to then are done, or are not wanted."""
        return self.last_run_at or self.spec.created_at

    @property
    def due_at(self) -> datetime:
        """RedBeat's own counts from the last run what is left from now."""
        return self.schedule.next(self.came_to)

    def is_due(self) -> schedstate:
        if not self.enabled:
            return schedstate(False, LOOP_SECONDS)
        return self.schedule.is_due(self.came_to)

    def definition(self) -> str:
        """As RedBeat keeps it."""
        return json.dumps(
            {
                "name": self.name,
                "task": self.task,
                "args": [],
                "kwargs": self.kwargs,
                "options": {},
                "schedule": {"__type__": "cronsim", "cron": self.schedule.expression},
                "enabled": self.enabled,
            }
        )

    def meta(self) -> str:
        """As RedBeat keeps it."""
        return json.dumps(
            {"last_run_at": self.came_to.astimezone(UTC), "total_run_count": self.total_run_count},
            cls=RedBeatJSONEncoder,
        )


class Entries:
    """All schedules of a deployment. Its methods raise LedgerUnavailable."""

    def __init__(self, app: Celery, client: redis.Redis, book: Book) -> None:
        self._app = app
        self._client = client
        self._book = book
        conf = ensure_conf(app)
        self._prefix: str = conf.key_prefix
        self._queue: str = conf.schedule_key
        self._lock: str = conf.lock_key

    def add(self, spec: ScheduleSpec, *, last_run_at: datetime) -> bool:
        """Make it known, to fire after that moment; False when there is one of that name."""
        entry = Entry.of(spec, self._app, last_run_at)

        def change(pipe: Pipeline) -> bool:
            known = bool(pipe.hexists(entry.key, "definition"))
            pipe.multi()
            if not known:
                pipe.hset(entry.key, mapping={"definition": entry.definition(), "meta": entry.meta()})
                pipe.zadd(self._queue, {entry.key: entry.score})
            return not known

        return self._transaction(change, entry.key)

    def put(self, spec: ScheduleSpec, *, last_run_at: datetime | None = None) -> bool:
        """Replace a schedule's spec; what fires next is the first after `last_run_at`, if that is given.

        False when it is gone.
        """
        key = self._prefix + spec.name

        def change(pipe: Pipeline) -> bool:
            definition, meta = cast("list[str | None]", pipe.hmget(key, ["definition", "meta"]))
            came_to = Entry.decode_meta(meta)["last_run_at"] or spec.created_at
            # Also back in time: a beat whose clock was far ahead has come too far.
            entry = Entry.of(spec, self._app, last_run_at or came_to)
            pipe.multi()
            if definition is not None:
                pipe.hset(key, mapping={"definition": entry.definition(), "meta": entry.meta()})
                pipe.zadd(self._queue, {key: entry.score})
            return definition is not None

        return self._transaction(change, key)

    def fired(self, entry: Entry, fire: Fire) -> bool:
        """Write a fire down, and that the entry came so far, at once; False when the schedule is gone."""
        entry.last_run_at = fire.fired_at
        entry.total_run_count += 1

        def change(pipe: Pipeline) -> bool:
            known = bool(pipe.hexists(entry.key, "definition"))
            pipe.multi()
            if known:
                self._book.write_down(fire, pipe)
                pipe.hset(entry.key, "meta", entry.meta())
                pipe.zadd(self._queue, {entry.key: entry.score})
            return known

        return self._transaction(change, entry.key)

    def find(self, name: str) -> Entry | None:
        """None when there is none of that name. Raises BadSettings as `all`."""
        with translated(self._client):
            definition, meta = cast(
                "list[str | None]", self._client.hmget(self._prefix + name, ["definition", "meta"])
            )
        return None if definition is None else self._decoded(name, definition, meta)

    def get(self, name: str) -> Entry:
        """Raises NoSuchSchedule, and BadSettings as `all`."""
        entry = self.find(name)
        if entry is None:
            raise self._missing(name)
        return entry

    def knows(self, name: str) -> bool:
        """Whether there is one of that name, be it one that can't be read."""
        with translated(self._client):
            return bool(self._client.hexists(self._prefix + name, "definition"))

    def check(self, name: str) -> None:
        """Raises NoSuchSchedule."""
        if not self.knows(name):
            raise self._missing(name)

    def all(self) -> list[Entry]:
        """By the time at which each fires next. Raises BadSettings for what another version wrote."""
        with translated(self._client):
            keys = cast("list[str]", self._client.zrange(self._queue, 0, -1))
            pipe = self._client.pipeline()
            for key in keys:
                pipe.hmget(key, ["definition", "meta"])
            answers = cast("list[list[str | None]]", pipe.execute())
        return [
            self._decoded(key.removeprefix(self._prefix), definition, meta)
            for key, (definition, meta) in zip(keys, answers, strict=True)
            if definition is not None
        ]

    def remove(self, name: str) -> None:
        """Nothing when there is none of that name."""
        key = self._prefix + name
        with translated(self._client), self._client.pipeline() as pipe:
            pipe.zrem(self._queue, key)
            pipe.delete(key)
            pipe.execute()

    def beat_lives(self) -> bool:
        """Whether a beat holds the lock."""
        with translated(self._client):
            return bool(self._client.exists(self._lock))

    def _decoded(self, name: str, definition: str, meta: str | None) -> Entry:
        try:
            fields = Entry.decode_definition(definition)
        except BadSettings as error:
            raise BadSettings(
                f"schedule {name} can't be read here: {error}; use the Impasto that added it, or "
                f"`impasto schedule remove {name}`"
            ) from error
        entry: Entry = Entry(app=self._app, **{**fields, **Entry.decode_meta(meta)})
        return entry

    def _missing(self, name: str) -> NoSuchSchedule:
        return NoSuchSchedule(
            f"no schedule is called {printable(name)!r}: `impasto schedule list` lists them"
        )

    def _transaction(self, change: Callable[[Pipeline], bool], key: str) -> bool:
        with translated(self._client):
            return bool(self._client.transaction(cast("Any", change), key, value_from_callable=True))


def by_clock(entry: Entry, now: datetime) -> Fire | None:
    """The fire that is due, the last one where several are."""
    fired_at = entry.schedule.last(after=entry.came_to, until=now)
    return None if fired_at is None else Fire(schedule=entry.name, fired_at=fired_at, noticed_at=now)


def _fields(spec: ScheduleSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "task": "impasto.schedule",
        "kwargs": {"spec": spec.model_dump(mode="json")},
        "schedule": CronSchedule(spec.cron, spec.timezone),
        "enabled": not spec.paused,
    }
