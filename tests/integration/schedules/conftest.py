from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from impasto.producer import Client
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries, beat_app
from impasto.producer.schedules.spec import ScheduleSpec
from stage import picture, png

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

MakeSpec = Callable[..., ScheduleSpec]


@pytest.fixture
def book(client: Client) -> Book:
    return Book(client.connection.redis, client.deployment.namespace)


@pytest.fixture
def entries(client: Client, book: Book) -> Entries:
    deployment = client.deployment
    assert deployment.redis_url is not None
    return Entries(beat_app(deployment, deployment.redis_url), client.connection.redis, book)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with one photograph."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "photo 0.png").write_bytes(png(picture(0)))
    return folder


@pytest.fixture
def make_spec(photos: Path, tmp_path: Path) -> MakeSpec:
    """A schedule of two in the morning in UTC, with whatever else is said."""
    painting = tmp_path / "painting.png"
    painting.write_bytes(png(picture(99)))

    def make(**fields: Any) -> ScheduleSpec:
        return ScheduleSpec.make(
            **{
                "name": "holidays",
                "cron": "0 2 * * *",
                "timezone": "UTC",
                "contents": (str(photos),),
                "styles": (str(painting),),
                "settings": {"size_px": 32, "steps": 2},
                "created_at": LONG_AGO,
                **fields,
            }
        )

    return make
