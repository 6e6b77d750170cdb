from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from impasto.shared.ledger import PairState
from impasto.shared.reports import Report, ReportedPair

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def report(*pairs: ReportedPair) -> Report:
    return Report(batch="b", name="b", state="done", counts={}, written_at=NOW, pairs=pairs)


def rows(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.to_csv(), newline="")))


@pytest.mark.parametrize(
    "name", ['a "quoted" name', "two\nlines", "commas, and; more", "günther 🎨", " spaced "]
)
def test_odd_names_come_back_from_the_csv_as_they_were(name: str) -> None:
    (row,) = rows(report(ReportedPair(pair=0, content=name, style="s", state=PairState.DONE)))
    assert (row["content"], row["style"]) == (name, "s")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_name_and_no_error_becomes_a_formula_in_a_spreadsheet(name: str) -> None:
    pair = ReportedPair(pair=0, content=name, style=name, state=PairState.FAILED, error=name)
    (row,) = rows(report(pair))
    assert {row["content"], row["style"], row["error"]} == {f"'{name}"}


def test_the_csv_has_the_columns_of_the_json_and_numbers_as_they_are() -> None:
    pair = ReportedPair(
        pair=7, content="c", style="s", state=PairState.DONE, last_loss=-0.5, started_at=NOW, finished_at=NOW
    )
    (row,) = rows(report(pair))
    assert list(row) == list(pair.model_dump())
    assert (row["pair"], row["last_loss"], row["finished_at"]) == ("7", "-0.5", "2026-06-01T12:30:00Z")
    assert (row["state"], row["error"]) == ("done", "")
