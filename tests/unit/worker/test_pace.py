"""When the next pair is fetched."""

from __future__ import annotations

from impasto.worker.pace import Pace


def test_no_pair_is_fetched_before_it_is_known_how_long_the_first_takes() -> None:
    pace = Pace()
    pace.begin()
    assert not pace.is_near_the_end()
    pace.step(1, 10**9)
    assert not pace.is_near_the_end()


def test_the_next_pair_is_fetched_when_the_last_step_is_done_and_after_the_end() -> None:
    pace = Pace()
    pace.begin()
    assert pace.step(300, 300) == 0
    assert pace.is_near_the_end()
    pace.begin()
    assert not pace.is_near_the_end()
    pace.end()
    assert pace.is_near_the_end()


def test_a_pair_that_goes_on_where_another_worker_stopped_is_judged_by_its_own_steps() -> None:
    fresh, resumed = Pace(), Pace()
    for pace in (fresh, resumed):
        pace.begin()
    # The one has made all the steps that the other found made.
    for step in range(1, 2001):
        whole = fresh.step(step, 2001)
    assert resumed.step(2000, 2001) > whole


def test_a_slow_store_is_asked_earlier_but_never_more_than_a_minute_ahead() -> None:
    pace = Pace()
    without = pace.lead_seconds
    pace.fetched(3.0)
    pace.fetched(0.1)
    assert pace.lead_seconds > without + 3.0
    pace.fetched(500.0)
    assert pace.lead_seconds == 60.0
    for _ in range(8):
        pace.fetched(0.0)
    assert pace.lead_seconds == without
