from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from impasto.producer.schedules.spec import ScheduleSpec, schedule_of
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings

FIELDS: dict[str, Any] = {
    "name": "holidays",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "contents": ("/photos/über", "s3://bucket/holidays"),
    "styles": ("/paintings",),
    "blends": ({"name": "half", "paintings": {"/a.png": 1.0, "/b.png": 2.0}},),
    "settings": {"size_px": 768, "style_layers": ["conv_1", "conv_2"]},
    "window": "22:00-6:00",
    "created_at": datetime(2026, 11, 24, 12, tzinfo=UTC),
}


def test_it_survives_the_way_to_the_store_and_back() -> None:
    spec = ScheduleSpec.make(**FIELDS)

    assert ScheduleSpec.from_json(spec.model_dump_json(indent=2).encode()) == spec
    assert spec.window == "22:00-06:00"
    assert spec.style_settings(Deployment.load(_env_file=None)).size_px == 768


def test_the_token_is_of_the_name_and_the_moment_whatever_the_zone() -> None:
    spec = ScheduleSpec.make(**FIELDS)
    moment = datetime(2026, 7, 1, 2, 0, tzinfo=ZoneInfo("Europe/Berlin"))

    assert spec.token(moment) == spec.token(moment.astimezone(UTC))
    assert spec.token(moment) != spec.token(moment.replace(minute=1))
    assert schedule_of(spec.token(moment)) == "holidays"
    assert spec.batch_name(moment.astimezone(UTC)) == "holidays 2026-07-01 02:00"


@pytest.mark.parametrize("token", [None, "", "schedule", "my token", "schedules holidays"])
def test_a_token_that_people_give_is_no_schedules(token: str | None) -> None:
    assert schedule_of(token) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../up"}, "can't be called '../up'"),
        ({"name": "Großes"}, "can't be called"),
        ({"cron": "0 25 * * *"}, "hour 25"),
        ({"timezone": "Berlin"}, "Europe/Berlin"),
        ({"window": "all night"}, "22:00-06:00"),
        ({"priority": 10}, "priority"),
        ({"contents": ()}, "contents"),
        ({"output_names": "{content}"}, "{style}"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSettings) as refused:
        ScheduleSpec.make(**{**FIELDS, **change})
    assert words in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"{}", b"\xff"])
def test_what_the_store_has_in_its_place_is_refused(data: bytes) -> None:
    with pytest.raises(BadSettings):
        ScheduleSpec.from_json(data)
