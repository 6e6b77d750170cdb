"""Fires that are to be done, results, and hours of batches, in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import redis
from pydantic import AwareDatetime, BaseModel, ConfigDict
from redis.client import Pipeline

from impasto.producer.schedules.records import Fire, ScheduleState
from impasto.producer.schedules.window import Window
from impasto.shared.ledger.keys import Keys
from impasto.shared.ledger.redis_errors import translated


class Hours(BaseModel):
    """The window of one batch, and the edge that was acted on last."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    window: str
    timezone: str
    edge: AwareDatetime | None = None

    def parsed(self) -> Window:
        return Window.parse(self.window, self.timezone)


class Book:
    """Each method is atomic, may be repeated, and raises LedgerUnavailable."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        keys = Keys(namespace)
        self._fires = keys.shared("schedule_fires")
        self._states = keys.shared("schedule_states")
        self._hours = keys.shared("hours")
        self._outside = keys.shared("outside_hours")

    def write_down(self, fire: Fire, pipe: Pipeline | None = None) -> None:
        """To be done by whoever is beat; nothing when it is written down already."""
        if pipe is not None:
            pipe.hsetnx(self._fires, fire.key, fire.model_dump_json())
            return
        with translated(self._client):
            self._client.hsetnx(self._fires, fire.key, fire.model_dump_json())

    def fires(self) -> list[Fire]:
        """All that are to be done, oldest first."""
        fires = [Fire.model_validate_json(text) for text in self._all(self._fires).values()]
        return sorted(fires, key=lambda fire: (fire.fired_at, fire.schedule))

    def amend(self, fire: Fire) -> None:
        """Change what is known of a fire that is to be done; nothing when it is done."""

        def change(pipe: Pipeline) -> None:
            known = bool(pipe.hexists(self._fires, fire.key))
            pipe.multi()
            if known:
                pipe.hset(self._fires, fire.key, fire.model_dump_json())

        with translated(self._client):
            self._client.transaction(change, self._fires)

    def settle(self, fire: Fire, state: ScheduleState | None = None) -> None:
        """The fire is done, and this is what came of it; None: nobody wants to know."""
        with translated(self._client), self._client.pipeline() as pipe:
            if state is not None:
                pipe.hset(self._states, fire.schedule, state.model_dump_json())
            pipe.hdel(self._fires, fire.key)
            pipe.execute()

    def state(self, name: str) -> ScheduleState:
        with translated(self._client):
            text = cast("str | None", self._client.hget(self._states, name))
        return ScheduleState() if text is None else ScheduleState.model_validate_json(text)

    def put_state(self, name: str, state: ScheduleState) -> None:
        """In place of what was known; for whoever rebuilds it."""
        with translated(self._client):
            self._client.hset(self._states, name, state.model_dump_json())

    def forget(self, name: str) -> None:
        """All of that schedule; its batches keep their hours."""
        gone = [fire.key for fire in self.fires() if fire.schedule == name]
        with translated(self._client), self._client.pipeline() as pipe:
            pipe.hdel(self._states, name)
            if gone:
                pipe.hdel(self._fires, *gone)
            pipe.execute()

    def hours(self) -> dict[str, Hours]:
        """Of each batch that has some."""
        return {batch: Hours.model_validate_json(text) for batch, text in self._all(self._hours).items()}

    def put_hours(self, batch: str, hours: Hours) -> None:
        with translated(self._client):
            self._client.hset(self._hours, batch, hours.model_dump_json())

    def drop_hours(self, batch: str) -> None:
        """Nobody looks at the clock for that batch any more."""
        with translated(self._client), self._client.pipeline() as pipe:
            pipe.hdel(self._hours, batch)
            pipe.srem(self._outside, batch)
            pipe.execute()

    def mark_outside(self, batch: str) -> None:
        """It is the window that pauses the batch."""
        with translated(self._client):
            self._client.sadd(self._outside, batch)

    def unmark_outside(self, batch: str) -> bool:
        """Whether it was the window that paused it; from now on it is not."""
        with translated(self._client):
            return bool(self._client.srem(self._outside, batch))

    def is_outside(self, batch: str) -> bool:
        """Whether it is the window that paused the batch."""
        with translated(self._client):
            return bool(self._client.sismember(self._outside, batch))

    def _all(self, key: str) -> Mapping[str, Any]:
        with translated(self._client):
            return cast("dict[str, str]", self._client.hgetall(key))
