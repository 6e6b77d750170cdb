from __future__ import annotations

import json
import re
from pathlib import Path

from impasto.shared.jobs import BlendRef, InputRef, Painting, PairJob

DOCS = Path(__file__).parents[3] / "docs"


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((DOCS / "protocol.schema.json").read_text())
    assert published == PairJob.model_json_schema(), (
        "write it anew: python -m json.tool of PairJob.model_json_schema() into docs/protocol.schema.json"
    )


def test_the_page_names_every_field() -> None:
    page = (DOCS / "protocol.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert set(PairJob.model_fields) <= named
    assert set(InputRef.model_fields) <= named
    assert set(BlendRef.model_fields) | set(Painting.model_fields) <= named


def test_the_page_example_is_a_valid_job() -> None:
    page = (DOCS / "protocol.md").read_text()
    found = re.search(r"args=\[\s*(\{.*?\n        \}),?\s*\],", page, re.DOTALL)
    assert found is not None
    text = re.sub(r",(\s*})", r"\1", found[1])
    job = PairJob.from_wire(json.loads(text))
    assert job.output_stem == "harbour__night"


def test_the_page_example_of_a_blend_and_a_mask_is_a_valid_job() -> None:
    page = (DOCS / "protocol.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    job = PairJob.from_wire(json.loads(text))
    assert job.output_stem == "harbour__dusk"
    assert isinstance(job.style, BlendRef)
    assert job.mask is not None
