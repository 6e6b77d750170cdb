"""What botocore raises and S3 answers, in our words: one table each for codes, states and exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from botocore import exceptions as botocore
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from impasto.shared.errors import (
    CredentialsUnusable,
    ImpastoError,
    ObjectMissing,
    StoreExhausted,
    StoreRefused,
    StoreUnavailable,
)
from impasto.shared.printable import printable

_RIGHTS: Final = (
    "give this key s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there "
    "(without the last one, an object that is missing looks like a refusal)"
)
_KEYS: Final = "correct IMPASTO_S3_ACCESS_KEY_ID and IMPASTO_S3_SECRET_ACCESS_KEY"
_LOGIN: Final = "log in again, or set IMPASTO_S3_ACCESS_KEY_ID and IMPASTO_S3_SECRET_ACCESS_KEY"
_CLOCK: Final = "set this machine's clock"
_ROOM: Final = "make room there or raise the quota"
_CERTIFICATE: Final = "set AWS_CA_BUNDLE or correct IMPASTO_S3_ENDPOINT_URL"
_ENDPOINT: Final = "is it up, and are IMPASTO_S3_ENDPOINT_URL and the network right?"

MISSING_CODES: Final = frozenset({"NoSuchKey", "NoSuchVersion"})

REFUSED_CODES: Final[dict[str, str]] = {
    "NoSuchBucket": "create it or correct IMPASTO_STORE_URL",
    "InvalidBucketName": "correct IMPASTO_STORE_URL",
    "AllAccessDisabled": _RIGHTS,
    "AccessDenied": _RIGHTS,
    "AccountProblem": "ask whoever runs the account",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidSecurity": _KEYS,
    "PermanentRedirect": "the bucket lies elsewhere: correct IMPASTO_S3_REGION or IMPASTO_S3_ENDPOINT_URL",
    "AuthorizationHeaderMalformed": "the bucket lies elsewhere: correct IMPASTO_S3_REGION",
    "IllegalLocationConstraintException": "the bucket lies elsewhere: correct IMPASTO_S3_REGION",
    "EntityTooLarge": "the object is too large for one put",
    "KeyTooLongError": "shorten the key",
    "MetadataTooLarge": "shorten the metadata",
    "InvalidObjectState": "the object is archived: restore it first",
    "MethodNotAllowed": "it is no S3 server, or the object is a delete marker",
    "NotImplemented": "the server lacks an operation that Impasto needs",
}

CREDENTIALS_CODES: Final[dict[str, str]] = {
    "ExpiredToken": _LOGIN,
    "ExpiredTokenException": _LOGIN,
    "InvalidToken": _LOGIN,
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "TokenRefreshRequired": _LOGIN,
}
"""Once taken, these were right and will be again: nothing is wrong with what was asked for."""

FULL_CODES: Final = frozenset(
    {
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)

THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)

UNAVAILABLE_CODES: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "XMinioServerNotInitialized",
    }
)

_REDIRECTIONS: Final = frozenset({302, 303, 307, 308})
"""S3 sends elsewhere for good (301), or says by its headers that it is S3."""
UNAVAILABLE_STATES: Final = frozenset({408}) | _REDIRECTIONS
"""Beside all from 500 on."""

REFUSED_STATES: Final[dict[int, str]] = {
    # A HEAD has no body, so the state is all that is known.
    301: REFUSED_CODES["PermanentRedirect"],
    400: "correct IMPASTO_S3_REGION, IMPASTO_S3_ENDPOINT_URL or the key",
    401: _KEYS,
    403: f"{_KEYS}, or {_RIGHTS}",
    501: REFUSED_CODES["NotImplemented"],
}

_FULL_STATE: Final = 507
_THROTTLING_STATE: Final = 429

CREDENTIALS_EXCEPTIONS: Final[tuple[type[BotoCoreError], ...]] = (
    botocore.NoCredentialsError,
    botocore.NoAuthTokenError,
    botocore.CredentialRetrievalError,
    botocore.MetadataRetrievalError,
    botocore.TokenRetrievalError,
    botocore.SSOError,
    botocore.LoginError,
)

_CREDENTIALS_OPERATIONS: Final = ("AssumeRole", "CreateToken", "CreateOAuth2Token", "GetRoleCredentials")
"""What botocore asks other services for on the way to S3; those of STS go on after the first of them."""
_STILL_EXPIRED: Final = "refreshed credentials are still expired"
"""Of the bare RuntimeError that botocore.credentials raises."""

REFUSED_EXCEPTIONS: Final[dict[type[BotoCoreError], str]] = {
    botocore.PartialCredentialsError: "set both IMPASTO_S3_ACCESS_KEY_ID and IMPASTO_S3_SECRET_ACCESS_KEY",
    botocore.ProfileNotFound: "correct AWS_PROFILE",
    botocore.ConfigParseError: "mend the AWS configuration file",
    botocore.InvalidRegionError: "correct IMPASTO_S3_REGION",
    botocore.ParamValidationError: "correct IMPASTO_STORE_URL or the key",
    botocore.InvalidDNSNameError: "correct IMPASTO_STORE_URL",
}

UNAVAILABLE_EXCEPTIONS: Final[dict[type[BotoCoreError], str]] = {
    botocore.EndpointConnectionError: _ENDPOINT,
    botocore.ConnectTimeoutError: _ENDPOINT,
    botocore.SSLError: "the encrypted connection broke: is IMPASTO_S3_ENDPOINT_URL right?",
    botocore.ProxyConnectionError: "is the proxy up?",
    botocore.ReadTimeoutError: "it took the request and then fell silent",
    botocore.ConnectionClosedError: "it closed the connection",
    botocore.ResponseStreamingError: "it broke off in the middle of an object",
    botocore.IncompleteReadError: "it broke off in the middle of an object",
    botocore.ChecksumError: "bytes were changed on the way",
    botocore.FlexibleChecksumError: "bytes were changed on the way",
    HTTPClientError: _ENDPOINT,
}


@contextmanager
def translated(*, bucket: str, endpoint: str, key: str = "") -> Iterator[None]:
    """Let only our errors out, with the vendor's as their cause."""
    try:
        yield
    except ImpastoError:
        raise
    except ClientError as error:
        raise from_answer(error, bucket=bucket, endpoint=endpoint, key=key) from error
    except PageInstead as error:
        raise not_s3(str(error), bucket=bucket, endpoint=endpoint) from error
    except (BotoCoreError, ResponseParserError, HTTPError, OSError) as error:
        raise from_exception(error, bucket=bucket, endpoint=endpoint) from error
    except RuntimeError as error:
        if _STILL_EXPIRED not in str(error):
            raise
        raise _unusable(f"bucket {bucket!r} at {endpoint}", "credentials expired", _LOGIN) from error


def from_answer(error: ClientError, *, bucket: str, endpoint: str, key: str = "") -> ImpastoError:
    """Our error for an answer of the server's that is no success."""
    code, state = code_of(error), state_of(error)
    where = f"bucket {bucket!r} at {endpoint}"
    what = f"{where}, object '{printable(key)}'" if key else where
    if error.operation_name.startswith(_CREDENTIALS_OPERATIONS):
        return _unusable(where, f"{code or state} to {error.operation_name}", _LOGIN)
    if state == 404 and code in ("404", ""):
        # S3 says which of the two is missing, but to a HEAD, which is looked at before.
        return not_s3(f"state {state}", bucket=bucket, endpoint=endpoint)
    if code in MISSING_CODES:
        return ObjectMissing(f"{where} has no object '{printable(key)}'")
    if code == "NoSuchBucket" or state == 404:
        return StoreRefused(
            f"bucket {bucket!r} does not exist at {endpoint}: {REFUSED_CODES['NoSuchBucket']}"
        )
    if code in REFUSED_CODES:
        return StoreRefused(f"{what} refuses ({code}): {REFUSED_CODES[code]}")
    if code in CREDENTIALS_CODES:
        return _unusable(where, code, CREDENTIALS_CODES[code])
    if code in FULL_CODES or state == _FULL_STATE:
        return StoreExhausted(f"{where} is full ({code or state}): {_ROOM}")
    if code in THROTTLING_CODES or state == _THROTTLING_STATE:
        return StoreExhausted(
            f"{where} asks for fewer requests ({code or state}): try again later",
            retry_after_seconds=_retry_after_seconds(error),
        )
    passing = state in UNAVAILABLE_STATES or (state >= 500 and state not in REFUSED_STATES)
    if code in UNAVAILABLE_CODES or passing:
        return StoreUnavailable(
            f"{what} can't answer now ({code or state}): try again later",
            retry_after_seconds=_retry_after_seconds(error),
        )
    mend = REFUSED_STATES.get(state, "see the server's log")
    return StoreRefused(f"{what} refuses ({code or state}): {mend}")


def from_exception(error: Exception, *, bucket: str, endpoint: str) -> ImpastoError:
    """Our error where there was no answer, or none that could be read."""
    where = f"bucket {bucket!r} at {endpoint}"
    if isinstance(error, botocore.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return StoreRefused(f"{where} has a certificate that is not trusted: {_CERTIFICATE}")
    if isinstance(error, CREDENTIALS_EXCEPTIONS):
        return _unusable(where, type(error).__name__, _LOGIN)
    for refusal, mend in REFUSED_EXCEPTIONS.items():
        if isinstance(error, refusal):
            return StoreRefused(f"{where} can't be used ({type(error).__name__}): {mend}")
    for fault, mend in UNAVAILABLE_EXCEPTIONS.items():
        if isinstance(error, fault):
            return StoreUnavailable(f"{where} does not answer ({type(error).__name__}): {mend}")
    # An answer that botocore can't read, among others: a proxy's page, or no S3 server at all.
    return not_s3(type(error).__name__, bucket=bucket, endpoint=endpoint)


def _unusable(where: str, what: str, mend: str) -> CredentialsUnusable:
    return CredentialsUnusable(f"{where} can't be used now ({what}): {mend}")


def not_s3(what: str, *, bucket: str, endpoint: str) -> StoreUnavailable:
    """Something else sits there and speaks: a login page, a proxy, an ingress whose server is down."""
    return StoreUnavailable(
        f"bucket {bucket!r} at {endpoint} does not answer as S3 does ({what}): {_ENDPOINT}"
    )


_SERVER_FAILED: Final = 500


class PageInstead(Exception):
    """What answered is no S3: a login page, a proxy's, or the way to one."""


def refuse_pages(response_dict: Mapping[str, Any], **_: object) -> None:
    """For botocore's event `before-parse`: raises PageInstead before it makes anything of such an answer.

    It would take a page for an object, a well-formed one for an empty listing, and follow a redirection round
    and round. S3 and its imitations have headers of S3's on each answer, or no pages.
    """
    headers, state = response_dict["headers"], response_dict["status_code"]
    page = state < _SERVER_FAILED and headers.get("content-type", "").startswith("text/html")
    if (page or state in _REDIRECTIONS) and not any(name.lower().startswith("x-amz") for name in headers):
        if hasattr(response_dict["body"], "close"):
            response_dict["body"].close()
        raise PageInstead(f"state {state}")


def has_etag(answer: Mapping[str, Any]) -> bool:
    """Whether the answer is to a GET, HEAD or PUT that succeeded, as each of S3's imitations gives it."""
    return "etag" in _headers(answer)


def is_copied(answer: Mapping[str, Any]) -> bool:
    """Whether the answer is to a copy that succeeded: it tells of the new object."""
    return "ETag" in answer.get("CopyObjectResult", {})


def _headers(response: Mapping[str, Any]) -> Mapping[str, str]:
    """By their names in lower case."""
    headers: Mapping[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def code_of(error: ClientError) -> str:
    """`NoSuchKey` and the like; the HTTP state as text where there is no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def state_of(error: ClientError) -> int:
    """The HTTP state, 0 if unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _retry_after_seconds(error: ClientError) -> float | None:
    try:
        return max(0.0, float(_headers(error.response)["retry-after"]))
    except (KeyError, ValueError):
        return None
