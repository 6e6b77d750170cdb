"""Time zones by their names, and what a clock on the wall means where it is set forward and back."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from celery.utils.time import timezone as celery_timezone

from impasto.shared.errors import BadSettings
from impasto.shared.printable import printable


def zone(name: str) -> ZoneInfo:
    """The time zone of that name in the IANA database. Raises BadSettings with the nearest names."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A folder of the database, such as Europe, is an OSError.
        raise BadSettings(f"no time zone is called {printable(name)!r}: {_nearest(name)}") from None


def local_zone_name() -> str:
    """That of this machine; UTC where the machine does not tell."""
    return str(getattr(celery_timezone.local, "key", "UTC"))


def as_instant(wall: datetime, in_zone: ZoneInfo) -> datetime:
    """When the clocks of that zone first show this time, in UTC; `wall` is naive.

    A time that is skipped is the moment at which the clocks are set forward.
    """
    local = wall.replace(tzinfo=in_zone, fold=0)
    while (instant := local.astimezone(UTC)).astimezone(in_zone).replace(tzinfo=None) != wall:
        wall += timedelta(minutes=1)
        local = wall.replace(tzinfo=in_zone, fold=0)
    return instant


def _nearest(name: str) -> str:
    known = sorted(available_timezones())
    by_folded = {zone_name.casefold(): zone_name for zone_name in known}
    wanted = name.strip().replace(" ", "_").casefold()
    # People write the town alone.
    of_towns = [zone_name for zone_name in known if zone_name.rpartition("/")[2].casefold() == wanted]
    near = [by_folded[folded] for folded in difflib.get_close_matches(wanted, by_folded, n=3, cutoff=0.6)]
    nearest = list(dict.fromkeys([*of_towns, *near]))[:3]
    if not nearest:
        return "give one of the IANA database, such as Europe/Berlin or UTC"
    return f"did you mean {' or '.join(nearest)}?"
