from __future__ import annotations

import pytest

from impasto.producer.cli.answers import as_columns, duration, timestamp
from impasto.producer.cli.screen import counted, megabytes, one_line


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3540, "59 min"),
        (3599, "1 h 00 min"),
        (11100, "3 h 05 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations_are_told_in_the_units_that_people_use(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (4_200_000, "4.2 MB"), (3 * 10**15, "3000.0 TB")],
)
def test_sizes_are_told_in_the_units_that_people_use(count: int, told: str) -> None:
    assert megabytes(count) == told


def test_counts_times_and_odd_characters() -> None:
    assert (counted(1, "pair"), counted(1200, "pair")) == ("1 pair", "1,200 pairs")
    assert timestamp(1_000) == "1970-01-01T00:00:01Z"
    assert one_line("a\nb\x1b[0m é") == r"a\nb\x1b[0m é"


def test_a_table_is_cut_at_the_terminals_edge_and_whole_without_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [("BATCH", "NAME"), ("sea-abcdef", "the sea in winter 🎨")]

    for cells in (22, 5, None):
        as_columns(rows, cells=cells, whole=1)

    assert capsys.readouterr().out.splitlines() == [
        "BATCH       NAME",
        "sea-abcdef  the sea i…",
        "BATCH       …",
        "sea-abcdef  …",
        "BATCH       NAME",
        "sea-abcdef  the sea in winter 🎨",
    ]
