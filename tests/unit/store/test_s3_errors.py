"""The translation itself: whole for what it lists, and for what botocore has."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import botocore.credentials
import botocore.exceptions
import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import ProtocolError

from impasto.shared.errors import (
    CredentialsUnusable,
    ImpastoError,
    ObjectMissing,
    StoreExhausted,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.store import s3_errors
from impasto.shared.store.s3_errors import translated


def answer(code: str, state: int, headers: dict[str, str] | None = None) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "first line\nsecond line"},
            "ResponseMetadata": {"HTTPStatusCode": state, "HTTPHeaders": headers or {}},
        },  # type: ignore[typeddict-item]
        "PutObject",
    )


def made(kind: type[BotoCoreError]) -> BotoCoreError:
    """One of that kind, whatever fields its message has."""

    class Anything(dict[str, object]):
        def __missing__(self, name: str) -> str:
            return name

    error = kind.__new__(kind)
    Exception.__init__(error, getattr(kind, "fmt", "").format_map(Anything()))
    return error


def ours(error: Exception, key: str = "a/key") -> ImpastoError:
    with (
        pytest.raises(ImpastoError) as caught,
        translated(bucket="bucket", endpoint="http://host:1", key=key),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert "bucket" in str(caught.value)
    assert "http://host:1" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", sorted(s3_errors.REFUSED_CODES))
def test_every_code_that_refuses_has_its_mend(code: str) -> None:
    # 503 to show that the code goes before the state.
    error = ours(answer(code, 503))
    assert isinstance(error, StoreRefused)
    assert str(error).endswith(s3_errors.REFUSED_CODES[code])


@pytest.mark.parametrize("code", sorted(s3_errors.CREDENTIALS_CODES))
def test_every_code_of_credentials_may_pass_and_has_its_mend(code: str) -> None:
    error = ours(answer(code, 403))
    assert isinstance(error, CredentialsUnusable)
    assert str(error).endswith(s3_errors.CREDENTIALS_CODES[code])


@pytest.mark.parametrize(
    ("code", "state"), [*((code, 400) for code in sorted(s3_errors.FULL_CODES)), ("507", 507)]
)
def test_a_store_that_is_full_may_pass_and_has_its_mend(code: str, state: int) -> None:
    error = ours(answer(code, state))
    assert isinstance(error, StoreExhausted)
    assert "make room there" in str(error)


@pytest.mark.parametrize("operation", ["AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials"])
def test_credentials_that_are_not_given_may_pass_whatever_the_reason(operation: str) -> None:
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
    assert isinstance(ours(error), CredentialsUnusable)


def test_credentials_that_stay_expired_may_pass() -> None:
    message = "Credentials were refreshed, but the refreshed credentials are still expired."
    assert message in Path(botocore.credentials.__file__).read_text().replace('"\n                "', "")
    assert isinstance(ours(RuntimeError(message)), CredentialsUnusable)


@pytest.mark.parametrize("code", sorted(s3_errors.UNAVAILABLE_CODES))
def test_every_code_that_may_pass_is_unavailable(code: str) -> None:
    assert isinstance(ours(answer(code, 400)), StoreUnavailable)


@pytest.mark.parametrize(
    ("code", "state"), [*((code, 503) for code in sorted(s3_errors.THROTTLING_CODES)), ("TryLater", 429)]
)
def test_to_ask_for_fewer_requests_is_of_the_whole_store(code: str, state: int) -> None:
    error = ours(answer(code, state))
    assert isinstance(error, StoreExhausted)
    assert "fewer requests" in str(error)


@pytest.mark.parametrize("code", sorted(s3_errors.MISSING_CODES))
def test_every_code_of_a_missing_object_is_object_missing(code: str) -> None:
    error = ours(answer(code, 404))
    assert isinstance(error, ObjectMissing)
    assert "a/key" in str(error)


def test_no_code_is_in_two_tables() -> None:
    tables = (
        set(s3_errors.REFUSED_CODES),
        set(s3_errors.CREDENTIALS_CODES),
        s3_errors.FULL_CODES,
        s3_errors.THROTTLING_CODES,
        s3_errors.UNAVAILABLE_CODES,
        s3_errors.MISSING_CODES,
    )
    assert sum(map(len, tables)) == len(set.union(*tables))


@pytest.mark.parametrize("state", [302, 303, 307, 308, 408, 429, 500, 502, 503, 504, 599])
def test_a_state_that_may_pass_is_unavailable_whatever_the_code(state: int) -> None:
    assert isinstance(ours(answer("SomethingNew", state)), StoreUnavailable)


@pytest.mark.parametrize("state", [301, 400, 401, 403, 405, 409, 412, 416, 418, 501])
def test_a_state_that_refuses_is_refused_whatever_the_code(state: int) -> None:
    assert isinstance(ours(answer(str(state), state)), StoreRefused)


@pytest.mark.parametrize("code", ["404", ""])
@pytest.mark.parametrize("key", ["a/key", ""])
def test_a_404_without_s3s_reason_is_of_another_server_and_may_pass(code: str, key: str) -> None:
    assert isinstance(ours(answer(code, 404), key=key), StoreUnavailable)


@pytest.mark.parametrize(
    ("state", "headers", "refused"),
    [
        (200, {"content-type": "text/html; charset=utf-8", "etag": "x"}, True),
        (403, {"content-type": "text/html"}, True),
        (302, {"location": "/login"}, True),
        (200, {"content-type": "text/html", "x-amz-request-id": "1"}, False),
        (307, {"X-Amz-Request-Id": "1"}, False),
        (301, {}, False),
        (500, {"content-type": "text/html"}, False),
        (404, {"content-type": "application/xml"}, False),
    ],
)
def test_a_page_is_told_from_s3_by_its_headers(state: int, headers: dict[str, str], refused: bool) -> None:
    response = {"status_code": state, "headers": headers, "body": b""}
    with pytest.raises(s3_errors.PageInstead) if refused else nullcontext():
        s3_errors.refuse_pages(response_dict=response, operation_model=None)


def test_a_page_in_s3s_place_may_pass() -> None:
    error = ours(s3_errors.PageInstead("state 302"))
    assert isinstance(error, StoreUnavailable)
    assert "does not answer as S3 does (state 302)" in str(error)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0.5", 0.5), ("-1", 0), ("tomorrow", None)])
def test_when_to_come_back_is_taken_from_the_server(header: str, seconds: float | None) -> None:
    error = ours(answer("SlowDown", 503, {"retry-after": header}))
    assert isinstance(error, StoreUnavailable)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("kind", s3_errors.REFUSED_EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_that_refuses_has_its_mend(kind: type[BotoCoreError]) -> None:
    error = ours(made(kind))
    assert isinstance(error, StoreRefused)
    assert str(error).endswith(s3_errors.REFUSED_EXCEPTIONS[kind])


@pytest.mark.parametrize("kind", s3_errors.CREDENTIALS_EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_of_credentials_may_pass_and_has_its_mend(kind: type[BotoCoreError]) -> None:
    error = ours(made(kind))
    assert isinstance(error, CredentialsUnusable)
    assert "log in again" in str(error)


@pytest.mark.parametrize("kind", s3_errors.UNAVAILABLE_EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_that_may_pass_is_unavailable(kind: type[BotoCoreError]) -> None:
    assert isinstance(ours(made(kind)), StoreUnavailable)


@pytest.mark.parametrize(
    "kind",
    [k for k in vars(botocore.exceptions).values() if isinstance(k, type) and issubclass(k, BotoCoreError)],
    ids=lambda kind: kind.__name__,
)
def test_nothing_of_botocores_gets_out(kind: type[BotoCoreError]) -> None:
    ours(made(kind))


def test_all_that_can_befall_a_connection_may_pass() -> None:
    def all_below(kind: type) -> set[type]:
        return {kind}.union(*(all_below(k) for k in kind.__subclasses__()))

    roots = (HTTPClientError, botocore.exceptions.ConnectionError)
    kinds = {k for root in roots for k in all_below(root) if k.__module__ == "botocore.exceptions"}
    refused = {k.__name__ for k in kinds if isinstance(ours(made(k)), StoreRefused)}
    assert len(kinds) >= 8
    assert refused == set()


def test_a_certificate_that_is_not_trusted_is_refused_but_a_broken_handshake_may_pass() -> None:
    def failed(reason: str) -> BotoCoreError:
        return botocore.exceptions.SSLError(endpoint_url="https://host", error=reason)

    error = ours(failed("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    assert isinstance(error, StoreRefused)
    assert "AWS_CA_BUNDLE" in str(error)
    assert isinstance(ours(failed("EOF occurred in violation of protocol")), StoreUnavailable)


@pytest.mark.parametrize("error", [ProtocolError("broken"), ConnectionResetError(), TimeoutError()])
def test_a_bare_error_of_the_network_may_pass(error: Exception) -> None:
    assert isinstance(ours(error), StoreUnavailable)


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    for mistake in (KeyError("x"), RuntimeError("x")):
        with pytest.raises(type(mistake)), translated(bucket="bucket", endpoint="http://host:1"):
            raise mistake
