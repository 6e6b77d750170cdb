"""One thing at a time, and whoever brings the next one waits."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading

import pytest

from impasto.worker.station import EXIT_BROKEN, Station


def test_things_are_worked_on_one_at_a_time_in_the_order_they_came() -> None:
    begun: queue.Queue[int] = queue.Queue()
    go_on = threading.Semaphore(0)

    def work(item: int) -> None:
        begun.put(item)
        go_on.acquire()

    station = Station("test", work)
    station.start()
    assert station.is_free
    station.hand_over(1)
    assert begun.get(timeout=10) == 1
    second = threading.Thread(target=station.hand_over, args=(2,))
    second.start()
    assert not station.is_free
    assert begun.empty()
    go_on.release()
    assert begun.get(timeout=10) == 2
    second.join(10)
    go_on.release()
    station.wait_until_free()
    assert begun.empty()


def test_whoever_waits_may_give_up() -> None:
    never = threading.Event()
    station: Station[int] = Station("test", lambda item: (never.wait(), None)[1])
    station.start()
    station.hand_over(1)

    def give_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        station.wait_until_free(give_up)
    never.set()
    station.wait_until_free()


BROKEN: str = """
import time
from impasto.worker.station import Station

station = Station("test", lambda item: 1 // item)
station.start()
station.hand_over(0)
time.sleep(60)
"""


def test_a_station_that_breaks_ends_the_process_so_that_another_takes_its_pairs() -> None:
    broken = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, timeout=60, check=False)
    assert broken.returncode == EXIT_BROKEN, broken.stderr
