from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from faulty_proxy import Fault, FaultyProxy
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadPicture, CredentialsUnusable, InputRefused, StoreUnavailable
from impasto.shared.jobs import InputRef
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.inputs import InputReader, open_input_reader
from impasto.shared.store.s3 import S3Store
from impasto.shared.store.s3_bucket import S3Bucket
from s3_server import S3Server

PNG = "image/png"
DATA = b"a picture"


@pytest.fixture(scope="module")
def foreign(s3_server: S3Server) -> S3Bucket:
    """A bucket other than the store's, with keys that our own stores would not take."""
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    s3_server.create_bucket(name)
    bucket = S3Bucket(s3_server.access(), name)
    for key in ("a/1.png", "a/é + ?#%.png", "a//.odd", "a/folder/", "a/folder/2.png", "ab/3.png", "a.png"):
        bucket.put(key, b"" if key.endswith("/") else DATA, content_type=PNG, metadata={})
    return bucket


@pytest.fixture
def reader(store: S3Store, foreign: S3Bucket) -> InputReader:
    store.put("inputs/cat.png", DATA, content_type=PNG)
    return InputReader(
        store, allowed_prefixes=[f"s3://{foreign.name}/a/", "s3://no-such-bucket"], limit_bytes=100
    )


def ref(uri: str, **fields: object) -> InputRef:
    return InputRef.model_validate({"uri": uri, "name": "my cat.png", **fields})


def test_the_whole_bucket_of_the_store_may_be_read(reader: InputReader, store: S3Store) -> None:
    store.bucket.put("elsewhere/cat.png", DATA, content_type=PNG, metadata={})
    digest = hashlib.sha256(DATA).hexdigest()
    for uri in ("store:inputs/cat.png", f"{store.url}/inputs/cat.png", "s3://impasto/elsewhere/cat.png"):
        assert reader.read(ref(uri, sha256=digest)) == DATA
        assert reader.head(uri).size_bytes == len(DATA)


@pytest.mark.parametrize("key", ["a/1.png", "a/é + ?#%.png", "a//.odd", "a/folder/2.png"])
def test_an_allowed_prefix_of_another_bucket_may_be_read(
    reader: InputReader, foreign: S3Bucket, key: str
) -> None:
    uri = f"s3://{foreign.name}/{key}"
    assert reader.read(ref(uri)) == DATA
    assert reader.head(uri).size_bytes == len(DATA)


@pytest.mark.parametrize("key", ["ab/3.png", "a.png", "a/../ab/3.png", "a/./1.png", "", "b"])
def test_a_neighbour_of_an_allowed_prefix_may_not(reader: InputReader, foreign: S3Bucket, key: str) -> None:
    with pytest.raises(InputRefused, match=r"my cat\.png"):
        reader.read(ref(f"s3://{foreign.name}/{key}"))


def test_a_foreign_bucket_that_is_not_there_is_the_inputs_fault(reader: InputReader) -> None:
    with pytest.raises(InputRefused, match=r"my cat\.png.*no-such-bucket"):
        reader.read(ref("s3://no-such-bucket/cat.png"))
    with pytest.raises(InputRefused, match="no-such-bucket"):
        list(reader.list("s3://no-such-bucket"))


def test_our_own_credentials_that_ran_out_are_never_the_inputs_fault(
    tmp_path: Path, foreign: S3Bucket, s3_server: S3Server, proxy: FaultyProxy
) -> None:
    reader = InputReader(
        FolderStore(tmp_path),
        allowed_prefixes=[f"s3://{foreign.name}"],
        limit_bytes=100,
        s3=replace(s3_server.access(), endpoint_url=proxy.endpoint_url),
    )
    uri = f"s3://{foreign.name}/a/1.png"
    with proxy.suffering(Fault.EXPIRED_TOKEN):
        for use in (lambda: reader.read(ref(uri)), lambda: reader.head(uri), lambda: list(reader.list(uri))):
            with pytest.raises(CredentialsUnusable, match="log in again"):
                use()
    assert reader.read(ref(uri)) == DATA


def test_a_missing_object_and_one_too_large_are_named(store: S3Store, foreign: S3Bucket) -> None:
    reader = InputReader(store, allowed_prefixes=[f"s3://{foreign.name}"], limit_bytes=len(DATA) - 1)
    with pytest.raises(InputRefused, match=r"my cat\.png.*does not exist"):
        reader.read(ref(f"s3://{foreign.name}/none.png"))
    with pytest.raises(BadPicture, match=r"my cat\.png.*IMPASTO_MAX_INPUT_BYTES"):
        reader.read(ref(f"s3://{foreign.name}/a.png"))


def test_a_prefix_is_listed_as_a_folder_without_its_neighbours(
    reader: InputReader, foreign: S3Bucket, s3_server: S3Server
) -> None:
    base = f"s3://{foreign.name}"
    expected = [f"{base}/{key}" for key in ("a//.odd", "a/1.png", "a/folder/2.png", "a/é + ?#%.png")]
    for url in (f"{base}/a", f"{base}/a/"):
        assert list(reader.list(url)) == [(uri, len(DATA)) for uri in expected]
    assert list(reader.list(f"{base}/a/1.png")) == [(f"{base}/a/1.png", len(DATA))]
    assert list(reader.list(f"{base}/a/none")) == []
    with pytest.raises(InputRefused):
        list(reader.list(base))
    all_allowed = InputReader(s3_server.store(), allowed_prefixes=[base], limit_bytes=1)
    for url in (base, f"{base}/"):
        listed = [uri for uri, _ in all_allowed.list(url)]
        assert listed == sorted([*expected, f"{base}/a.png", f"{base}/ab/3.png"])


def test_a_folder_store_reads_inputs_from_s3_too(
    tmp_path: Path, foreign: S3Bucket, s3_server: S3Server
) -> None:
    access = s3_server.access()
    deployment = Deployment(
        s3_endpoint_url=access.endpoint_url,
        s3_access_key_id=access.access_key_id,
        s3_secret_access_key=access.secret_access_key,
        input_prefixes=(f"s3://{foreign.name}/a",),
        _env_file=None,
    )
    reader = open_input_reader(deployment, FolderStore(tmp_path))
    assert reader.read(ref(f"s3://{foreign.name}/a/1.png")) == DATA


def test_a_server_that_does_not_answer_may_pass(store: S3Store) -> None:
    gone = S3Server()
    reader = InputReader(gone.store("p"), limit_bytes=1)
    with pytest.raises(StoreUnavailable):
        reader.read(ref("store:inputs/cat.png"))
