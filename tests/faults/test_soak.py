"""A short soak, its seed always the same; `make soak` is the long one, with a new seed each time."""

from __future__ import annotations

from pathlib import Path

from soak import Soak


def test_half_a_minute_of_all_faults_at_once_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    found = Soak(tmp_path, seed=7).run(seconds=20)
    assert found["done"] > 0
    assert found["done"] + found["failed"] + found["cancelled"] == found["pairs"]
