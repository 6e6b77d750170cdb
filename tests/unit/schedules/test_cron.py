from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.producer.schedules.cron import checked_cron, fires, last_fire, next_fire
from impasto.producer.schedules.zones import zone
from impasto.shared.errors import BadSettings

BERLIN = ZoneInfo("Europe/Berlin")
SPRING_FORWARD = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin
FALL_BACK = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)  # 03:00 becomes 02:00 in Berlin


def on_day(expression: str, day: datetime) -> list[str]:
    """UTC times of day of all fires on that day of Berlin."""
    start = datetime(day.year, day.month, day.day, tzinfo=BERLIN)
    end = datetime(day.year, day.month, day.day + 1, tzinfo=BERLIN)
    found = takewhile(lambda fire: fire < end, fires(expression, BERLIN, start - timedelta(seconds=1)))
    return [f"{fire:%H:%M}" for fire in found]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 25 * * *", "hour 25 in '0 25 * * *': give 0 to 23"),
        ("61 2 * * *", "minute 61 in"),
        ("0 2 0 * *", "day of month 0 in"),
        ("0 2 * JUNE *", "month JUNE in"),
        ("0 2 * * 1,8", "day of week 8 in"),
        ("*/0 2 * * *", "minute */0 in"),
        ("0 2 * *", "has 4 parts: give 5"),
        ("0 0 2 * * *", "has 6 parts: give 5"),
        ("", "has 0 parts: give 5"),
        ("0 0 30 2 *", "day of month 30 in '0 0 30 2 *' never comes"),
        ("@nightly", "shorthand '@nightly' is none"),
    ],
)
def test_the_part_that_is_wrong_is_named_with_what_it_may_be(expression: str, words: str) -> None:
    with pytest.raises(BadSettings) as refused:
        checked_cron(expression)
    assert words in str(refused.value)


def test_an_expression_is_kept_as_people_write_it_with_shorthands_written_out() -> None:
    assert checked_cron("  0   2 * *  MON-fri ") == "0 2 * * MON-fri"
    assert checked_cron("@Daily") == "0 0 * * *"
    assert checked_cron("0 0 29 2 *") == "0 0 29 2 *"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Berlin", "Europe/Berlin"),
        ("europe/berlin ", "Europe/Berlin"),
        ("Amerika/New_York", "America/New_York"),
    ],
)
def test_an_unknown_time_zone_is_told_with_the_nearest_names(name: str, nearest: str) -> None:
    with pytest.raises(BadSettings) as refused:
        zone(name)
    assert nearest in str(refused.value)


@pytest.mark.parametrize("name", ["", "Europe", "../etc/passwd", "\0", "Mars/Olympus"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(BadSettings):
        zone(name)


def test_a_time_that_the_clocks_skip_fires_once_as_they_go_forward() -> None:
    assert on_day("30 2 * * *", SPRING_FORWARD) == ["01:00"]
    assert on_day("30 1 * * *", SPRING_FORWARD) == ["00:30"]


def test_a_time_that_the_clocks_show_twice_fires_once_the_first_time() -> None:
    assert on_day("30 2 * * *", FALL_BACK) == ["00:30"]


def test_expressions_with_a_star_go_by_the_hours_that_pass() -> None:
    assert len(on_day("0 * * * *", SPRING_FORWARD)) == 23
    assert len(on_day("0 * * * *", FALL_BACK)) == 25


def test_whoever_asks_within_the_hour_that_comes_twice_is_told_no_time_that_has_passed() -> None:
    in_the_second_hour = FALL_BACK + timedelta(minutes=10)

    assert next_fire("30 2 * * *", BERLIN, in_the_second_hour) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert last_fire(
        "30 2 * * *", BERLIN, after=FALL_BACK - timedelta(days=1), until=in_the_second_hour
    ) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(
    expression=st.sampled_from(
        ["30 2 * * *", "0 2 * * *", "*/15 2 * * *", "15 */2 * * *", "0 3 L * *", "0 * * * *"]
    ),
    name=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    change=st.sampled_from([SPRING_FORWARD, FALL_BACK, datetime(2026, 3, 8, 7, tzinfo=UTC)]),
    offset=st.integers(-30 * 60, 30 * 60),
    span=st.integers(1, 40 * 60),
)
def test_the_last_fire_is_the_last_of_all_fires_also_where_clocks_change(
    expression: str, name: str, change: datetime, offset: int, span: int
) -> None:
    after = change + timedelta(minutes=offset)
    until = after + timedelta(minutes=span)

    found = list(takewhile(lambda fire: fire <= until, fires(expression, ZoneInfo(name), after)))

    assert found == sorted(set(found))
    assert all(after < fire for fire in found)
    assert last_fire(expression, ZoneInfo(name), after=after, until=until) == (found[-1] if found else None)
