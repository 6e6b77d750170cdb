from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from impasto.producer.nights.summary import NightSummary, Outcome, json_schema

DOCS = Path(__file__).parents[3] / "docs"


def test_the_published_schema_of_a_summary_is_that_of_the_code() -> None:
    assert json.loads((DOCS / "night.schema.json").read_text()) == json_schema(), (
        "write it anew: impasto.producer.nights.summary.json_schema() into docs/night.schema.json"
    )


def test_the_page_names_every_field_and_outcome_of_a_summary() -> None:
    _, _, section = (DOCS / "nights.md").read_text().partition("## What is told in the morning")
    named = set(re.findall(r"`([a-z_]+)`", section.partition("\n## ")[0]))
    assert set(NightSummary.model_fields) | set(get_args(Outcome)) <= named
