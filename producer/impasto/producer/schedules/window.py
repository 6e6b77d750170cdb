"""The hours in which a batch may run, such as 22:00-06:00, by the clock on the wall of a time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from impasto.producer.schedules.zones import as_instant, zone
from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

_SHAPE: Final = re.compile(r"\s*(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})\s*")


@dataclass(frozen=True)
class Edge:
    """When the window opened or closed."""

    at: datetime
    opens: bool


@dataclass(frozen=True)
class Window:
    """From `start` to `end` every day, over midnight where `end` is the smaller.

    It opens and closes once a day, each at the first time that the clocks show the hour; an hour that they
    skip is the moment at which they are set forward.
    """

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str, timezone: str) -> Self:
        """From `22:00-06:00` and a time zone's name. Raises BadSettings."""
        shape = _SHAPE.fullmatch(text)
        if shape is None:
            raise BadSettings(f"the window {printable(text)!r} has no hours: write it as 22:00-06:00")
        start, end = (_time(text, shape[i], shape[i + 1]) for i in (1, 3))
        if start == end:
            raise BadSettings(
                f"the window {printable(text)!r} ends where it begins: leave it out, or give two hours"
            )
        return cls(start, end, zone(timezone))

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def last_edge(self, now: datetime) -> Edge:
        """The last time that it opened or closed, now included."""
        return max(
            (edge for edge in self._edges(now) if edge.at <= now), key=lambda edge: (edge.at, not edge.opens)
        )

    def next_edge(self, now: datetime) -> Edge:
        """The next time that it opens or closes."""
        return min(
            (edge for edge in self._edges(now) if edge.at > now), key=lambda edge: (edge.at, not edge.opens)
        )

    def is_open(self, now: datetime) -> bool:
        """Whether a batch may run now."""
        return self.last_edge(now).opens

    def _edges(self, now: datetime) -> list[Edge]:
        """Of some days around."""
        today = now.astimezone(self.zone).date()
        # A zone that crossed the date line has skipped a whole day.
        days = [today + timedelta(days=days) for days in range(-3, 4)]
        return [
            Edge(as_instant(datetime.combine(day, wall), self.zone), opens)
            for day in days
            for wall, opens in ((self.start, True), (self.end, False))
        ]


def _time(text: str, hour: str, minute: str) -> time:
    try:
        return time(int(hour), int(minute))
    except ValueError:
        raise BadSettings(
            f"{hour}:{minute} in the window {printable(text)!r} is no time of day: give 00:00 to 23:59"
        ) from None
