from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import results
from hands import finish
from impasto.producer import Client
from impasto.shared.deployment import Deployment
from impasto.shared.errors import StoreRefused, StoreUnavailable
from s3_server import S3Server
from stage import picture, png


@pytest.fixture
def server(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture
def on_s3(environment: dict[str, str], server: S3Server, namespace: str) -> Deployment:
    variables = environment | server.environment | {"IMPASTO_STORE_URL": f"s3://impasto/{namespace}"}
    names: dict[str, Any] = {k.removeprefix("IMPASTO_").lower(): v for k, v in variables.items()}
    return Deployment.load(_env_file=None, **names)


def fill(server: S3Server, bucket: str, prefix: str) -> dict[str, bytes]:
    """Two pictures, a damaged one and a text; what was put, by address."""
    objects = {
        f"{prefix}/a.png": png(picture(1)),
        f"{prefix}/2024/b c.png": png(picture(2)),
        f"{prefix}/broken.jpg": b"no picture",
        f"{prefix}/notes.txt": b"text",
    }
    for key, data in objects.items():
        server.access().client().put_object(Bucket=bucket, Key=key, Body=data)
    return {f"s3://{bucket}/{key}": data for key, data in objects.items()}


def bucket_names(server: S3Server) -> set[str]:
    return {bucket["Name"] for bucket in server.access().client().list_buckets()["Buckets"]}


def keys(server: S3Server, bucket: str) -> set[str]:
    answer = server.access().client().list_objects_v2(Bucket=bucket)
    return {entry["Key"] for entry in answer.get("Contents", ())}


def test_inputs_in_the_stores_bucket_are_checked_and_left_where_they_lie(
    server: S3Server, on_s3: Deployment, namespace: str, paintings: Path
) -> None:
    objects = fill(server, "impasto", f"in-{namespace}")
    with Client(on_s3) as client:
        submission = client.submit(f"s3://impasto/in-{namespace}", paintings)
        assert (submission.pairs, submission.skipped) == (4, 1)
        assert [one.input for one in submission.rejected] == [f"s3://impasto/in-{namespace}/broken.jpg"]
        assert submission.batch is not None
        contents = [client.pair(submission.batch, pair).content for pair in (0, 2)]
    assert {ref.uri: ref.size_bytes for ref in contents} == {
        uri: len(data) for uri, data in objects.items() if uri.endswith(".png")
    }
    uploaded = {key for key in keys(server, "impasto") if key.startswith(f"{namespace}/inputs/")}
    assert len(uploaded) == 2


def test_another_bucket_is_read_only_where_it_is_allowed(
    server: S3Server, on_s3: Deployment, namespace: str, paintings: Path
) -> None:
    if "archive" not in bucket_names(server):
        server.create_bucket("archive")
    fill(server, "archive", namespace)
    before = keys(server, "archive")
    source = f"s3://archive/{namespace}"
    with Client(on_s3) as client:
        answer = client.submit([source, paintings], paintings)
        assert [one.input for one in answer.rejected] == [source]
        assert "IMPASTO_INPUT_PREFIXES" in answer.rejected[0].error
    allowed = on_s3.model_copy(update={"input_prefixes": (source,)})
    with Client(allowed) as client:
        assert client.submit([source, "s3://archive/elsewhere"], paintings).contents == 2
    assert keys(server, "archive") == before


def test_beside_a_folder_store_a_bucket_is_read_with_the_deployments_own_keys(
    server: S3Server, on_s3: Deployment, namespace: str, paintings: Path, tmp_path: Path
) -> None:
    fill(server, "impasto", f"in-{namespace}")
    source = f"s3://impasto/in-{namespace}"
    in_a_folder = {"store_url": (tmp_path / "store").as_uri(), "input_prefixes": (source,)}
    manifest = tmp_path / "pairs.csv"
    manifest.write_text(f"content,style\n{source}/a.png,{next(paintings.iterdir())}\n")
    with Client(on_s3.model_copy(update=in_a_folder)) as client:
        assert client.submit(source, paintings).contents == 2
        assert client.submit_manifest(manifest).rejected == ()


def test_a_missing_bucket_as_a_source_is_that_sources_fault(
    on_s3: Deployment, photos: Path, paintings: Path
) -> None:
    allowed = on_s3.model_copy(update={"input_prefixes": ("s3://no-such-bucket",)})
    with Client(allowed) as client:
        (rejected,) = client.submit(["s3://no-such-bucket/a", photos], paintings).rejected
    assert rejected.input == "s3://no-such-bucket/a"
    assert "does not exist" in rejected.error


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"store_url": "s3://no-such-bucket/x"}, StoreRefused, "no-such-bucket"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, StoreUnavailable, "127.0.0.1:1"),
    ],
)
def test_a_store_that_is_not_there_is_found_out_before_any_input_is_read(
    on_s3: Deployment,
    photos: Path,
    paintings: Path,
    change: dict[str, str],
    error: type[Exception],
    word: str,
) -> None:
    read: list[object] = []
    with Client(on_s3.model_copy(update=change)) as client:
        with pytest.raises(error, match=word):
            client.submit(photos, paintings, on_progress=read.append)
        assert (read, client.batches()) == ([], [])


def test_results_are_fetched_from_s3(
    on_s3: Deployment, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    with Client(on_s3) as client:
        submission = client.submit(photos, paintings)
        assert submission.batch is not None
        stem = client.pair(submission.batch, 0).output_stem
        results.put_result(client.connection.store, submission.batch, stem, b"pixels")
        finish(client, submission.batch, 0)
        fetched = client.fetch("latest", tmp_path / "home")
    assert (fetched.batch, fetched.fetched, fetched.missing) == (submission.batch, 1, 5)
    assert (tmp_path / "home" / f"{stem}.png").read_bytes() == b"pixels"
