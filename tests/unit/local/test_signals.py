from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from impasto.producer.local.signals import StopSignals


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "impasto.producer.local.signals.time", SimpleNamespace(monotonic=lambda: clock.monotonic())
    )
    return clock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_to_stop_and_the_next_to_hurry(clock: Clock, number: signal.Signals) -> None:
    with StopSignals() as signals:
        assert not signals.stopping()

        signal.raise_signal(number)
        assert signals.stopping()
        assert not signals.hurry()

        clock.now += 1.0
        signal.raise_signal(number)
        assert signals.hurry()


def test_the_same_wish_passed_on_by_a_wrapper_does_not_hurry(clock: Clock) -> None:
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        clock.now += 0.1
        signal.raise_signal(signal.SIGTERM)

        assert signals.stopping()
        assert not signals.hurry()


def test_the_handlers_from_before_are_back_afterwards() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]

    with StopSignals():
        assert all(signal.getsignal(n) != b for n, b in zip(numbers, before, strict=True))

    assert [signal.getsignal(number) for number in numbers] == before
