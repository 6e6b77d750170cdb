"""docs/engine.md names only tests that there are, and one for each row of what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[2] / "docs" / "engine.md").read_text()
PROMISES = PAGE.partition("## From the seed text to the code")[2].partition("\n## ")[0]
ROWS = [
    line
    for line in PROMISES.splitlines()
    if line.startswith("| ") and "held by" not in line and "---" not in line
]


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?", PAGE)
    assert len(named) > 40
    for file, function in named:
        text = (HERE / file).read_text()
        assert not function or f"\ndef {function}(" in text, f"{file} has no {function}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_promise_names_a_test_in_full(row: str) -> None:
    *_, held_by, _ = row.split("|")
    assert re.search(r"`test_\w+\.py::test_\w+`", held_by)
    assert "…" not in held_by
