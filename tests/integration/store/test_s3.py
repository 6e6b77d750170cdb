from __future__ import annotations

import multiprocessing
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
from pydantic import SecretStr

from faulty_proxy import Fault, FaultyProxy
from impasto.shared.errors import (
    BadSettings,
    CredentialsUnusable,
    ImpastoError,
    ObjectMissing,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.store import ObjectInfo, ObjectStore
from impasto.shared.store.keys import KEY_LIMIT_BYTES
from impasto.shared.store.s3 import S3Store
from impasto.shared.store.s3_access import S3Access
from s3_server import S3Server
from servers import free_port
from store_contract import StoreContract

PNG = "image/png"


class TestS3(StoreContract):
    pass


@pytest.fixture
def behind_proxy(s3_server: S3Server, proxy: FaultyProxy) -> S3Store:
    """A store whose requests go through the proxy, one at a time, with one repetition by the SDK."""
    access = replace(s3_server.access(read_timeout_seconds=1), endpoint_url=proxy.endpoint_url)
    proxy.requests.clear()
    return S3Store(access, s3_server.bucket, f"tests/{uuid.uuid4()}")


def every_use(store: ObjectStore) -> Iterator[tuple[str, ImpastoError]]:
    """What each method raises, by its name."""
    for name, use in {
        "put": lambda: store.put("k", b"x", content_type=PNG),
        "put_if_absent": lambda: store.put_if_absent("k", b"x", content_type=PNG),
        "get": lambda: store.get("k"),
        "head": lambda: store.head("k"),
        "list": lambda: list(store.list("")),
        "delete": lambda: store.delete("k"),
        "check": lambda: store.check(),
    }.items():
        with pytest.raises(ImpastoError) as caught:
            use()
        yield name, caught.value


def test_two_stores_in_one_bucket_do_not_see_each_other(store: S3Store, s3_server: S3Server) -> None:
    other = s3_server.store(f"{store.url.removeprefix('s3://impasto/')}2")
    other.put("key", b"other", content_type=PNG)
    assert store.head("key") is None
    assert list(store.list("")) == []


def test_a_listing_longer_than_a_page_is_whole(store: S3Store) -> None:
    keys = [f"many/{i:02}" for i in range(23)]
    for key in keys:
        store.put(key, b"", content_type=PNG)
    whole = store.url.removeprefix("s3://impasto/")
    for page_keys in (1, 5, 23):
        found = store.bucket.list(f"{whole}/many/", page_keys=page_keys)
        assert [object.key.removeprefix(f"{whole}/") for object in found] == keys


def test_a_bucket_that_does_not_exist_is_named_with_the_mend(s3_server: S3Server) -> None:
    for name, error in every_use(s3_server.store(bucket="no-such-bucket")):
        assert isinstance(error, StoreRefused), name
        assert str(error) == (
            f"bucket 'no-such-bucket' does not exist at {s3_server.endpoint_url}: "
            "create it or correct IMPASTO_STORE_URL"
        )


def test_a_server_that_refuses_connections_may_come_back(s3_server: S3Server) -> None:
    endpoint_url = f"http://127.0.0.1:{free_port()}"
    access = replace(s3_server.access(attempts=1), endpoint_url=endpoint_url)
    for name, error in every_use(S3Store(access, "bucket")):
        assert isinstance(error, StoreUnavailable), name
        assert endpoint_url in str(error)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.STALL, Fault.SLOW_DOWN, Fault.BROKEN])
def test_a_server_that_fails_for_long_is_unavailable_to_every_method(
    s3_server: S3Server, proxy: FaultyProxy, fault: Fault
) -> None:
    access = replace(s3_server.access(attempts=1, read_timeout_seconds=0.2), endpoint_url=proxy.endpoint_url)
    with proxy.suffering(fault):
        for name, error in every_use(S3Store(access, s3_server.bucket)):
            assert isinstance(error, StoreUnavailable), name
            assert proxy.endpoint_url in str(error)
            if fault is Fault.SLOW_DOWN:
                assert error.retry_after_seconds == 7


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.STALL, Fault.SLOW_DOWN, Fault.BROKEN, Fault.LOST_REPLY])
def test_a_fault_that_passes_is_not_noticed(behind_proxy: S3Store, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.next("PUT", fault)
    behind_proxy.put("key", b"data", content_type=PNG)
    proxy.next("GET", fault)
    assert behind_proxy.get("key") == b"data"
    assert (proxy.count("PUT"), proxy.count("GET")) == (2, 2)


def test_a_body_that_breaks_off_is_fetched_again(behind_proxy: S3Store, proxy: FaultyProxy) -> None:
    data = bytes(range(256)) * 1000
    behind_proxy.put("key", data, content_type=PNG)
    proxy.next("GET", Fault.SHORT_BODY, Fault.SHORT_BODY)
    assert behind_proxy.get("key") == data
    with proxy.suffering(Fault.SHORT_BODY), pytest.raises(StoreUnavailable, match="broke off"):
        behind_proxy.get("key")


@pytest.mark.parametrize("fault", [Fault.WEB_PAGE, Fault.TIDY_WEB_PAGE, Fault.REDIRECT, Fault.NOT_FOUND_PAGE])
def test_a_page_in_place_of_s3_is_an_outage_to_every_method_and_never_an_object(
    behind_proxy: S3Store, proxy: FaultyProxy, fault: Fault
) -> None:
    behind_proxy.put("k", b"a picture", content_type=PNG)
    uses = every_use(behind_proxy)
    with proxy.suffering(fault):
        for name, error in uses:
            assert isinstance(error, StoreUnavailable), (name, error)
            assert proxy.endpoint_url in str(error)
    assert behind_proxy.get("k") == b"a picture"


def test_a_page_that_is_an_object_is_read_like_any_other(behind_proxy: S3Store) -> None:
    behind_proxy.put("page", b"<html>", content_type="text/html", metadata={"k": "v"})
    assert behind_proxy.get("page") == b"<html>"
    assert behind_proxy.head("page") == ObjectInfo("page", 6, "text/html", {"k": "v"})


def test_a_put_whose_reply_was_lost_was_still_ours(behind_proxy: S3Store, proxy: FaultyProxy) -> None:
    assert behind_proxy.put_if_absent("probed", b"", content_type=PNG) is True
    proxy.next("PUT", Fault.LOST_REPLY)
    assert behind_proxy.put_if_absent("key", b"mine", content_type=PNG, metadata={"by": "me"}) is True
    assert behind_proxy.head("key") == ObjectInfo("key", 4, PNG, {"by": "me"})


def test_a_repeated_put_that_finds_anothers_object_was_not_ours(
    behind_proxy: S3Store, proxy: FaultyProxy
) -> None:
    assert behind_proxy.put_if_absent("key", b"equal", content_type=PNG) is True
    proxy.next("PUT", Fault.RESET)
    assert behind_proxy.put_if_absent("key", b"equal", content_type=PNG) is False


def test_a_conflict_is_tried_again(behind_proxy: S3Store, proxy: FaultyProxy) -> None:
    assert behind_proxy.put_if_absent("probed", b"", content_type=PNG) is True
    proxy.next("PUT", Fault.CONFLICT, Fault.CONFLICT)
    assert behind_proxy.put_if_absent("key", b"mine", content_type=PNG) is True


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_HEADER, Fault.IGNORED_CONDITION])
def test_without_conditional_puts_what_is_there_is_still_left_alone(
    behind_proxy: S3Store, proxy: FaultyProxy, fault: Fault
) -> None:
    with proxy.suffering(fault):
        assert behind_proxy.put_if_absent("key", b"first", content_type=PNG) is True
        assert behind_proxy.put_if_absent("key", b"second", content_type=PNG) is False
    assert behind_proxy.get("key") == b"first"
    assert [found.key for found in behind_proxy.list("")] == ["key"]


def test_the_server_is_asked_once_whether_it_knows_conditional_puts(
    behind_proxy: S3Store, proxy: FaultyProxy
) -> None:
    behind_proxy.put_if_absent("1", b"", content_type=PNG)
    before = proxy.count("PUT")
    behind_proxy.put_if_absent("2", b"", content_type=PNG)
    assert proxy.count("PUT") == before + 1


def test_a_missing_object_costs_one_request_once_the_bucket_is_known(
    behind_proxy: S3Store, proxy: FaultyProxy
) -> None:
    assert behind_proxy.head("1") is None
    before = proxy.count("HEAD")
    assert behind_proxy.head("2") is None
    assert proxy.count("HEAD") == before + 1


def test_credentials_are_named_with_the_mend_and_searched_for_again(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(S3Access(s3_server.endpoint_url, attempts=1), s3_server.bucket)
    for name, error in every_use(store):
        assert isinstance(error, CredentialsUnusable), name
        assert "IMPASTO_S3_ACCESS_KEY_ID" in str(error)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "found")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "meanwhile")
    store.check()


@pytest.mark.parametrize(
    ("fault", "mend"), [(Fault.EXPIRED_TOKEN, "log in again"), (Fault.SKEWED_CLOCK, "machine's clock")]
)
def test_credentials_that_ran_out_are_an_outage_to_every_method(
    behind_proxy: S3Store, proxy: FaultyProxy, fault: Fault, mend: str
) -> None:
    with proxy.suffering(fault):
        for name, error in every_use(behind_proxy):
            assert isinstance(error, CredentialsUnusable), name
            assert mend in str(error)


def test_a_secret_is_in_no_message_and_no_representation(s3_server: S3Server) -> None:
    access = replace(s3_server.access(), secret_access_key=SecretStr("hush-hush"), attempts=1)
    for broken in (
        S3Store(access, "no-such-bucket"),
        S3Store(replace(access, endpoint_url=f"http://127.0.0.1:{free_port()}"), "bucket"),
    ):
        for _, error in every_use(broken):
            chain: list[str] = []
            cause: BaseException | None = error
            while cause is not None:
                chain.append(f"{cause} {cause!r}")
                cause = cause.__cause__
            assert "hush" not in "".join(chain)
        assert "hush" not in repr(broken) + repr(broken.access)


@pytest.mark.parametrize("endpoint_url", ["localhost:9000", "nonsense", "http://", "http://a b"])
def test_an_endpoint_that_is_no_url_is_a_bad_setting(endpoint_url: str) -> None:
    store = S3Store(S3Access(endpoint_url, "us-east-1", "id", SecretStr("s"), attempts=1), "bucket")
    with pytest.raises(BadSettings, match="IMPASTO_S3_ENDPOINT_URL"):
        store.get("key")


def test_a_key_too_long_with_its_prefix_is_refused(s3_server: S3Server) -> None:
    store = s3_server.store("p" * 200)
    fitting = "/".join(["k" * 99] * 8)
    store.put(fitting, b"", content_type=PNG)
    with pytest.raises(StoreRefused, match=str(KEY_LIMIT_BYTES)):
        store.put(f"{fitting}/{'k' * 99}", b"", content_type=PNG)


def _get(store: S3Store) -> bytes:
    return store.get("key")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_store_works_in_a_child_process(store: S3Store, how: str) -> None:
    store.put("key", b"data", content_type=PNG)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(how)) as pool:
        assert [f.result(60) for f in [pool.submit(_get, store) for _ in range(2)]] == [b"data"] * 2
    assert store.get("key") == b"data"


def test_a_server_that_was_killed_is_used_again_when_it_is_back() -> None:
    with S3Server() as server:
        store = server.store()
        store.put("key", b"data", content_type=PNG)
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.get("key")
        server.start()
        with pytest.raises(ObjectMissing):
            store.get("key")
        store.check()
