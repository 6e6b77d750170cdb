from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

from pydantic import TypeAdapter

from impasto.shared.jobs import BlendRef, InputRef, Painting, PairJob
from impasto.shared.ledger import BatchOpening, Event, EventType
from impasto.shared.ledger.memory import MemoryLedger

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


def test_the_published_schema_of_events_is_that_of_the_code() -> None:
    published = json.loads((DOCS / "events.schema.json").read_text())
    assert published == TypeAdapter(Event).json_schema(), (
        "write it anew: json of TypeAdapter(Event).json_schema(), indent 2, into docs/events.schema.json"
    )


def test_an_event_of_the_ledger_is_one_of_the_published_schema() -> None:
    ledger = MemoryLedger()
    ledger.open(BatchOpening("b", 1, "b"))
    (told,) = (TypeAdapter(Event).dump_python(event, mode="json") for event in ledger.events("b"))
    schema = json.loads((DOCS / "events.schema.json").read_text())
    assert set(told) == set(schema["required"]) == set(schema["properties"])
    assert told["type"] in schema["$defs"]["EventType"]["enum"]
    assert set(schema["$defs"]["EventType"]["enum"]) == set(EventType)


def test_the_page_names_every_field_of_an_event() -> None:
    page = (DOCS / "protocol.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", page))
    assert {field.name for field in fields(Event)} <= named


def test_the_page_example_of_a_blend_and_a_mask_is_a_valid_job() -> None:
    page = (DOCS / "protocol.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    job = PairJob.from_wire(json.loads(text))
    assert job.output_stem == "harbour__dusk"
    assert isinstance(job.style, BlendRef)
    assert job.mask is not None
