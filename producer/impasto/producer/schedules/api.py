"""`client.schedules`: add, list, run, pause and remove schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from impasto.producer.blends import Blend
from impasto.producer.connection import Connection
from impasto.producer.request import Pairs
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries, Entry, beat_app
from impasto.producer.schedules.records import Fire, FireResult, whole_second
from impasto.producer.schedules.spec import IfMissed, Overlap, ScheduledBlend, ScheduleSpec
from impasto.producer.schedules.there import Lookout
from impasto.producer.schedules.zones import local_zone_name
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ImpastoError, NoSuchBatch
from impasto.shared.ledger import BatchStatus

_JSON: Final = "application/json"


@dataclass(frozen=True)
class Schedule:
    """A schedule as it stands.

    `next_fire`: in UTC, None while it is paused. `results`: of its last fires, newest first. `waiting`: fires
    that are not done yet. `last_batch`: the newest that the ledger still knows.
    """

    spec: ScheduleSpec
    next_fire: datetime | None
    results: tuple[FireResult, ...]
    waiting: tuple[Fire, ...]
    last_batch: BatchStatus | None

    @property
    def last(self) -> FireResult | None:
        """What came of the last fire."""
        return self.results[0] if self.results else None


class Schedules:
    """All schedules of a deployment. Every method may raise LedgerUnavailable; each says what else."""

    def __init__(self, connection: Connection) -> None:
        located = connection.deployment
        self._connection = connection
        self._app = beat_app(located, located.redis_url or "")
        self._book = Book(connection.redis, located.namespace)
        self._entries = Entries(self._app, connection.redis, self._book)

    def add(
        self,
        name: str,
        *,
        cron: str,
        contents: str | Path | Sequence[str | Path],
        styles: str | Path | Blend | Sequence[str | Path | Blend],
        timezone: str | None = None,
        masks: str | Path | Sequence[str | Path] = (),
        preset: str | None = None,
        settings: Mapping[str, Any] | None = None,
        pairs: Pairs = "product",
        output_names: str | None = None,
        owner: str = "",
        priority: int = 5,
        overlap: Overlap = "skip",
        if_missed: IfMissed = "run",
        window: str | None = None,
    ) -> Schedule:
        """Restyle these sources at each time of the cron expression, from the next one on.

        `timezone`: an IANA name; None: this machine's. Paths are made absolute: they are read by `impasto
        beat`, so it must see the same files. `overlap`: what a fire does while an earlier batch is not over.
        `if_missed`: whether what no beat saw in time is done late, once. `window`: hours such as 22:00-06:00
        outside which its batches pause. The rest is as of `Client.submit`.

        All or nothing. Raises BadSettings for what makes no sense and for a name that is taken, InputRefused
        for sources that are not there, StoreUnavailable, StoreRefused.
        """
        connection = self._connection
        lookout = Lookout(connection.deployment, connection.store)
        given = [styles] if isinstance(styles, str | Path | Blend) else list(styles)
        now = datetime.now(UTC)
        spec = ScheduleSpec.make(
            name=name,
            cron=cron,
            timezone=local_zone_name() if timezone is None else timezone,
            contents=lookout.all("contents", _several(contents)),
            styles=lookout.all("styles", [one for one in given if not isinstance(one, Blend)]),
            blends=tuple(_kept(one, lookout) for one in given if isinstance(one, Blend)),
            masks=lookout.all("masks", _several(masks)),
            preset=preset,
            settings=dict(settings or {}),
            pairs=pairs,
            output_names=output_names,
            owner=owner,
            priority=priority,
            overlap=overlap,
            if_missed=if_missed,
            window=window,
            created_at=now,
        )
        if not given:
            raise BadSettings(f"schedule {spec.name} has no styles: give a painting at least")
        spec.style_settings(connection.deployment)
        self._refuse_a_second(spec.name)
        connection.check()
        self._keep(spec)
        try:
            added = self._entries.add(spec, last_run_at=now)
        except ImpastoError:
            with suppress(ImpastoError):
                connection.store.delete(layout.schedule_key(spec.name))
            raise
        if not added:
            # Somebody else was a moment faster: what they keep is theirs again.
            self._keep(self._entries.get(spec.name).spec)
            self._refuse_a_second(spec.name)
        return self.get(spec.name)

    def all(self) -> list[Schedule]:
        """The one that fires next first, paused ones last."""
        fires = self._book.fires()
        known = [self._schedule(entry, fires) for entry in self._entries.all()]
        return sorted(known, key=lambda one: (one.next_fire is None, one.next_fire, one.spec.name))

    def get(self, name: str) -> Schedule:
        """Raises NoSuchSchedule."""
        return self._schedule(self._entries.get(name), self._book.fires())

    def run_now(self, name: str) -> Fire:
        """Fire it once beside its times, paused or not; whoever is beat does it. Raises NoSuchSchedule."""
        spec = self._entries.get(name).spec
        now = whole_second(datetime.now(UTC))
        fire = Fire(schedule=spec.name, fired_at=now, noticed_at=now, by="person")
        self._book.write_down(fire)
        return fire

    def pause(self, name: str) -> Schedule:
        """Fire no more until `resume`; batches that run go on. Raises NoSuchSchedule, StoreUnavailable."""
        self._change(name, paused=True)
        return self.get(name)

    def resume(self, name: str) -> Schedule:
        """Fire again, from the next time on: what fell into the pause is not made up for.

        Raises NoSuchSchedule, StoreUnavailable.
        """
        self._change(name, paused=False)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Its batches, and what was made, stay. Raises NoSuchSchedule, StoreUnavailable."""
        self._entries.check(name)
        # In this order it can be done again when it is cut off.
        self._connection.store.delete(layout.schedule_key(name))
        self._book.forget(name)
        self._entries.remove(name)

    def beat_lives(self) -> bool:
        """Whether anybody is there to fire them."""
        return self._entries.beat_lives()

    def _schedule(self, entry: Entry, fires: Sequence[Fire]) -> Schedule:
        spec = entry.spec
        state = self._book.state(spec.name)
        batch = next((result.batch for result in state.results if result.batch is not None), None)
        status = None
        if batch is not None:
            with suppress(NoSuchBatch):
                status = self._connection.ledger.status(batch)
        return Schedule(
            spec,
            None if spec.paused else entry.due_at,
            state.results,
            tuple(fire for fire in fires if fire.schedule == spec.name),
            status,
        )

    def _change(self, name: str, *, paused: bool) -> None:
        spec = self._entries.get(name).spec
        if spec.paused == paused:
            return
        changed = spec.model_copy(update={"paused": paused})
        self._keep(changed)
        self._entries.put(changed, last_run_at=None if paused else datetime.now(UTC))

    def _keep(self, spec: ScheduleSpec) -> None:
        data = spec.model_dump_json(indent=2).encode()
        self._connection.store.put(layout.schedule_key(spec.name), data, content_type=_JSON)

    def _refuse_a_second(self, name: str) -> None:
        if self._entries.find(name) is not None:
            raise BadSettings(
                f"a schedule {name} is there already: give another name, or `impasto schedule remove {name}`"
            )


def _several(sources: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [sources] if isinstance(sources, str | Path) else sources


def _kept(blend: Blend, lookout: Lookout) -> ScheduledBlend:
    paintings: dict[str, float] = {}
    for source, weight in blend.paintings.items():
        if not isinstance(source, str | Path):
            raise BadSettings(f"blend {blend.name}: give files and addresses, no pictures in memory")
        paintings[lookout.one("styles", source)] = weight
    return ScheduledBlend(name=blend.name, paintings=paintings)
