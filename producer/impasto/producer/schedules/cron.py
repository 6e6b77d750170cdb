"""Cron expressions: checked part by part, and when they fire in a time zone.

As Debian's cron does: a job at a fixed time that is skipped when the clocks go forward fires at that moment,
and one whose time comes twice when they go back fires once, the first time. Expressions with a star in the
minute or hour go by the hours that really pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable

_PARTS: Final = (
    (Field.MINUTE, "minute", "0 to 59"),
    (Field.HOUR, "hour", "0 to 23"),
    (Field.DAY, "day of month", "1 to 31, or L for the last"),
    (Field.MONTH, "month", "1 to 12 or JAN to DEC"),
    (Field.DOW, "day of week", "0 (Sunday) to 7 or SUN to SAT"),
)
_SHORTHANDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CLOCK_CHANGE: Final = timedelta(hours=3)
"""More than any zone's clocks are set forward or back at once, but for whole days."""


def checked_cron(expression: str) -> str:
    """The expression in five parts, single spaces between. Raises BadSettings that names the wrong part."""
    text = " ".join(expression.split())
    text = _SHORTHANDS.get(text.lower(), text)
    parts = text.split(" ") if text else []
    shown = printable(text)
    if text.startswith("@"):
        raise BadSettings(f"the cron shorthand {shown!r} is none: give one of {', '.join(_SHORTHANDS)}")
    if len(parts) != len(_PARTS):
        raise BadSettings(
            f"the cron expression {shown!r} has {len(parts)} parts: give 5, which are minute, hour, "
            "day of month, month and day of week, such as '0 2 * * *'"
        )
    for part, (field, name, allowed) in zip(parts, _PARTS, strict=True):
        for term in part.split(","):
            try:
                field.parse(term.upper())
            except (CronSimError, AssertionError):
                raise BadSettings(f"{name} {printable(term)} in {shown!r}: give {allowed}") from None
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        raise BadSettings(
            f"day of month {printable(parts[2])} in {shown!r} never comes: no such month has that day"
        ) from None
    return text


def fires(expression: str, in_zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """All times at which it fires after that moment, ascending, in UTC."""
    last = after
    for fire in CronSim(expression, after.astimezone(in_zone)):
        # Within an hour that comes twice it counts by the clock on the wall, and may begin too early.
        if (instant := fire.astimezone(UTC)) > last:
            last = instant
            yield instant


def next_fire(expression: str, in_zone: ZoneInfo, after: datetime) -> datetime:
    """The first time at which it fires after that moment, in UTC."""
    return next(fires(expression, in_zone, after))


def last_fire(expression: str, in_zone: ZoneInfo, *, after: datetime, until: datetime) -> datetime | None:
    """The last time at which it fires after one moment and not after the other; None when there is none."""
    for fire in CronSim(expression, (until + _CLOCK_CHANGE).astimezone(in_zone), reverse=True):
        instant = fire.astimezone(UTC)
        if instant <= after:
            return None
        if instant <= until:
            return instant
    return None
