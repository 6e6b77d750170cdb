from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from impasto.producer.local.supervisor import Backoff, describe_exit


def test_waits_double_from_half_a_second_to_thirty() -> None:
    backoff = Backoff()

    waits = [backoff.after(0.1) for _ in range(9)]

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_minute_of_life_begins_the_waits_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)

    assert backoff.after(60.0) == 0.5
    assert backoff.after(1.0) == 1.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_it_never_gives_up_and_never_waits_longer_than_its_longest(lives_seconds: list[float]) -> None:
    backoff = Backoff()

    waits = [backoff.after(lived) for lived in lives_seconds]

    assert all(0.5 <= wait <= 30.0 for wait in waits)
    assert all(wait == 0.5 for wait, lived in zip(waits, lives_seconds, strict=True) if lived >= 60.0)


def test_an_end_by_signal_is_told_by_its_name() -> None:
    assert describe_exit(-9) == "SIGKILL"
    assert describe_exit(78) == "exit code 78"
    assert describe_exit(-200) == "signal 200"
