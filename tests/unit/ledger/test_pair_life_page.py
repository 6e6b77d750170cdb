"""docs/pair-life.md is compared with the scripts and the enums, so that it can't go stale."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from impasto.shared.ledger import BatchState, EventType, PairState, Refusal, RenewAnswer
from impasto.shared.ledger.loader import script_names

PAGE = (Path(__file__).parents[3] / "docs" / "pair-life.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """A section's table, without its head, a row of bare cells each."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize(
    ("title", "enum"),
    [
        ("States of a pair", PairState),
        ("States of a batch", BatchState),
        ("Why a lease is refused", Refusal),
        ("What a renewal answers", RenewAnswer),
        ("Events", EventType),
    ],
)
def test_each_table_lists_exactly_its_enums_members(title: str, enum: type[StrEnum]) -> None:
    assert sorted(row[0] for row in rows(title)) == sorted(member.value for member in enum)


def test_every_step_leads_between_states_and_is_made_by_a_script() -> None:
    states = {state.value for state in PairState}
    for before, after, script, _ in rows("Steps"):
        assert {before, after} - {""} <= states
        assert script in script_names()


def test_every_script_is_on_the_page() -> None:
    steps = section("Steps")
    missing = [name for name in script_names() if f"`{name}`" not in steps]
    assert missing == []


def test_every_state_can_be_reached_and_what_is_done_or_cancelled_can_not_be_left() -> None:
    steps = rows("Steps")
    assert {after for _, after, *_ in steps} == {state.value for state in PairState}
    left = {before for before, *_ in steps} - {""}
    assert left == {PairState.WAITING, PairState.DUE, PairState.RUNNING, PairState.FAILED}


def test_every_name_in_the_picture_is_a_state_or_a_script() -> None:
    picture = PAGE.split("```")[1].replace("(batch cancelled)", "")
    known = {state.value for state in PairState} | set(script_names())
    assert set(re.findall(r"[a-z_]+", picture)) <= known
