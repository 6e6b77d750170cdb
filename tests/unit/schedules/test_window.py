from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.producer.schedules.window import Edge, Window
from impasto.shared.errors import BadSettings


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def edges(window: Window, start: datetime, hours: int) -> list[tuple[str, bool]]:
    """All edges within so many hours, by UTC's clock."""
    found: list[tuple[str, bool]] = []
    now = start
    while (edge := window.next_edge(now)).at <= start + timedelta(hours=hours):
        found.append((f"{edge.at:%d %H:%M}", edge.opens))
        now = edge.at
    return found


def test_it_is_open_over_midnight_and_closed_by_day() -> None:
    night = Window.parse("22:00-06:00", "Europe/Berlin")

    assert [
        night.is_open(utc(f"2026-07-01T{hour}")) for hour in ("19:59", "20:00", "23:00", "03:59", "04:00")
    ] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert night.last_edge(utc("2026-07-01T12:00")) == Edge(utc("2026-07-01T04:00"), opens=False)
    assert night.next_edge(utc("2026-07-01T12:00")) == Edge(utc("2026-07-01T20:00"), opens=True)


def test_it_keeps_to_the_clock_on_the_wall_when_the_clocks_change() -> None:
    night = Window.parse("22:00-06:00", "Europe/Berlin")

    assert edges(night, utc("2026-03-28T12:00"), 24) == [("28 21:00", True), ("29 04:00", False)]
    assert edges(night, utc("2026-10-24T12:00"), 24) == [("24 20:00", True), ("25 05:00", False)]


def test_an_edge_in_the_hour_that_is_skipped_is_when_the_clocks_go_forward() -> None:
    assert edges(Window.parse("02:30-05:00", "Europe/Berlin"), utc("2026-03-29T00:00"), 6) == [
        ("29 01:00", True),
        ("29 03:00", False),
    ]


def test_an_edge_in_the_hour_that_comes_twice_comes_once() -> None:
    """02:15 in Berlin is at 00:15 and at 01:15 UTC that night."""
    closes = Window.parse("22:00-02:15", "Europe/Berlin")
    opens = Window.parse("02:15-06:00", "Europe/Berlin")

    assert edges(closes, utc("2026-10-24T12:00"), 20) == [("24 20:00", True), ("25 00:15", False)]
    assert edges(opens, utc("2026-10-24T12:00"), 20) == [("25 00:15", True), ("25 05:00", False)]


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 1439),
    length=st.integers(1, 1438),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    now=st.integers(0, 15 * 365 * 24 * 60).map(lambda n: utc("2011-12-28") + timedelta(minutes=n)),
)
def test_it_opens_and_closes_by_turns(start: int, length: int, zone: str, now: datetime) -> None:
    end = (start + length) % 1440
    window = Window.parse(f"{start // 60}:{start % 60:02}-{end // 60}:{end % 60:02}", zone)

    before, after = window.last_edge(now), window.next_edge(now)

    assert before.at <= now < after.at
    assert window.is_open(now) == before.opens
    assert window.last_edge(after.at).at == after.at
    if after.at - before.at > timedelta(hours=1):
        assert before.opens != after.opens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("22-6", "write it as 22:00-06:00"),
        ("", "write it as 22:00-06:00"),
        ("25:00-06:00", "25:00 in the window '25:00-06:00' is no time of day"),
        ("22:00-06:99", "06:99"),
        ("6:00-06:00", "ends where it begins"),
    ],
)
def test_hours_that_make_no_sense_are_named(text: str, words: str) -> None:
    with pytest.raises(BadSettings) as refused:
        Window.parse(text, "UTC")
    assert words in str(refused.value)
