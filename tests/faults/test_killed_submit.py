"""A submission that dies half-way, and the same command again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faulty_proxy import FaultyProxy
from s3_server import S3Server
from servers import RedisServer
from stage import Stage, picture, png, s3_stage
from workers import eventually

PHOTOS = 200
LONG_AGO = 1_000_000_000


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """One that keeps every version of an object, so that a second upload is seen."""
    name = f"versions-{uuid.uuid4().hex[:8]}"
    s3_server.create_bucket(name)
    s3_server.access().client().put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Enabled"}
    )
    return name


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def stage(
    valkey: RedisServer, s3_server: S3Server, proxy: FaultyProxy, bucket: str, namespace: str, tmp_path: Path
) -> Iterator[Stage]:
    stage = Stage(
        {
            **s3_stage(valkey.url, namespace, s3_server, proxy.endpoint_url).environment,
            "IMPASTO_STORE_URL": f"s3://{bucket}",
            "IMPASTO_STATE": str(tmp_path / "state"),
        }
    )
    yield stage
    stage.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(PHOTOS):
        path = folder / f"{number % 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(picture(number, (16, 12))))
        os.utime(path, (LONG_AGO, LONG_AGO))
    (tmp_path / "painting.png").write_bytes(png(picture(9999)))
    os.utime(tmp_path / "painting.png", (LONG_AGO, LONG_AGO))
    return folder


def submit(stage: Stage, photos: Path) -> subprocess.Popen[str]:
    command = ["submit", "-c", photos, "-s", photos.parent / "painting.png", "--json", "--no-progress"]
    return subprocess.Popen(
        [sys.executable, "-m", "impasto.producer.cli", *map(str, command)],
        env={**os.environ, **stage.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate()
    assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def versions(s3_server: S3Server, bucket: str) -> list[str]:
    """The key of each version of each input."""
    pages = s3_server.access().client().get_paginator("list_object_versions")
    return [
        version["Key"]
        for page in pages.paginate(Bucket=bucket, Prefix="inputs/")
        for version in page.get("Versions", ())
    ]


def test_a_killed_submission_goes_on_where_it_was_and_uploads_nothing_twice(
    stage: Stage, s3_server: S3Server, proxy: FaultyProxy, bucket: str, photos: Path
) -> None:
    proxy.delay_seconds = 0.05  # or it would be over before it is seen
    process = submit(stage, photos)
    eventually(lambda: proxy.count("PUT") > PHOTOS // 3, what="a third of the uploads")
    process.kill()
    process.communicate()
    proxy.delay_seconds = 0.0
    half_way = len(versions(s3_server, bucket))
    assert PHOTOS // 4 < half_way < PHOTOS
    assert stage.ledger.batches() == []

    whole = answer(submit(stage, photos))
    assert (whole["contents"], whole["created"], whole["rejected"]) == (PHOTOS, True, [])
    keys = versions(s3_server, bucket)
    assert len(keys) == len(set(keys)) == PHOTOS + 1
    assert whole["uploaded"] <= PHOTOS + 1 - half_way

    again = answer(submit(stage, photos))
    assert (again["batch"], again["created"], again["uploaded"]) == (whole["batch"], False, 0)
    assert (again["read"], again["known"]) == (0, PHOTOS + 1)
    assert stage.ledger.batches() == [whole["batch"]]
