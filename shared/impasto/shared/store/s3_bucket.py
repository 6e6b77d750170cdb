"""One bucket, with keys as S3 takes them and errors as we do."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from impasto.shared.errors import BadPicture, CredentialsUnusable, StoreUnavailable
from impasto.shared.printable import printable
from impasto.shared.store.interface import ObjectInfo
from impasto.shared.store.metadata import from_wire
from impasto.shared.store.s3_access import S3Access
from impasto.shared.store.s3_errors import (
    CREDENTIALS_CODES,
    code_of,
    has_etag,
    is_copied,
    not_s3,
    state_of,
    translated,
)

_PUT_ID: Final = "impasto-put"
"""Metadata that tells one conditional put from another; readers don't see it."""

_LOOK_FIRST_BYTES: Final = 256 * 1024
"""From this size on a HEAD is cheaper than sending bytes that the server may refuse."""

_CONFLICT_ATTEMPTS: Final = 4
_BODY_ATTEMPTS: Final = 3


class S3Bucket:
    """One bucket with keys as S3 takes them, and errors as we do. `S3Store` is what most callers want."""

    def __init__(self, access: S3Access, name: str) -> None:
        self.access = access
        self.name = name
        self._seen = False
        self._conditional: bool | None = None

    def put(self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> None:
        """`metadata` as it goes over the wire."""
        with self._translated(key):
            answer = self.access.client().put_object(
                Bucket=self.name, Key=key, Body=data, ContentType=content_type, Metadata=metadata
            )
            self._prove(answer, has_etag)

    def put_if_absent(
        self, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str], probe_key: str
    ) -> bool:
        """`probe_key` is where this may try, once, whether the server heeds `If-None-Match`."""
        if len(data) >= _LOOK_FIRST_BYTES and self.head(key) is not None:
            return False
        if self._conditional is None:
            self._conditional = self._heeds_conditions(probe_key)
        if self._conditional:
            return self._put_conditionally(key, data, content_type, metadata)
        if self.head(key) is not None:
            return False
        self.put(key, data, content_type=content_type, metadata=metadata)
        return True

    def copy(self, source: str, target: str) -> None:
        """Within the bucket and by its server, with type and metadata. Raises ObjectMissing."""
        with self._translated(source):
            answer = self.access.client().copy_object(
                Bucket=self.name, Key=target, CopySource={"Bucket": self.name, "Key": source}
            )
            self._prove(answer, is_copied)

    def get(self, key: str, *, limit_bytes: int | None = None) -> bytes:
        """Raises ObjectMissing; BadPicture when larger than the limit."""
        with self._translated(key):
            for attempt in range(_BODY_ATTEMPTS):
                answer = self.access.client().get_object(Bucket=self.name, Key=key)
                # Not `with answer["Body"]`, which hands out urllib3's stream and its bare errors.
                with closing(answer["Body"]) as body:
                    self._prove(answer, has_etag)
                    if limit_bytes is not None and answer["ContentLength"] > limit_bytes:
                        raise BadPicture(
                            f"{printable(key)} has {answer['ContentLength']:,} bytes, "
                            f"more than the {limit_bytes:,} allowed"
                        )
                    try:
                        return body.read()
                    except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError):
                        # The SDK repeats requests, but not bodies that break off.
                        if attempt == _BODY_ATTEMPTS - 1:
                            raise
        raise AssertionError("unreachable")

    def head(self, key: str) -> ObjectInfo | None:
        """None when there is no such object."""
        with self._translated(key):
            try:
                answer = self.access.client().head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                self._prove_credentials(error)
                if state_of(error) != 404 or code_of(error) == "NoSuchBucket":
                    raise
                self._prove_bucket()
                return None
            self._prove(answer, has_etag)
        self._seen = True
        metadata = {name: value for name, value in answer["Metadata"].items() if name.lower() != _PUT_ID}
        return ObjectInfo(
            key,
            answer["ContentLength"],
            answer.get("ContentType", ""),
            from_wire(metadata),
            stamp=answer.get("ETag", ""),
        )

    def list(self, prefix: str, *, page_keys: int = 1000) -> Iterator[ObjectInfo]:
        """Ascending by key; a page is one request."""
        with self._translated():
            pages = self.access.client().get_paginator("list_objects_v2")
            for page in pages.paginate(
                Bucket=self.name, Prefix=prefix, PaginationConfig={"PageSize": page_keys}
            ):
                # Some other XML than a listing names no bucket, and would pass for an empty one.
                if "Name" not in page and "Contents" not in page:
                    raise self._not_s3(page)
                for entry in page.get("Contents", ()):
                    yield ObjectInfo(entry["Key"], entry["Size"], stamp=entry.get("ETag", ""))

    def delete(self, key: str) -> None:
        """Nothing happens when there is no such object."""
        with self._translated(key):
            try:
                self.access.client().delete_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if code_of(error) != "NoSuchKey":
                    raise

    def _prove_bucket(self) -> None:
        """A HEAD says the same of a missing object and of a missing bucket: ask once which it is."""
        if self._seen:
            return
        try:
            # Not a HEAD, whose 404 has no words either and may be of whatever is in S3's place.
            self.access.client().list_objects_v2(Bucket=self.name, MaxKeys=1)
        except ClientError as error:
            if state_of(error) == 404:
                raise
        self._seen = True

    def _prove_credentials(self, error: ClientError) -> None:
        """A HEAD has no words for credentials that ran out, and looks like a refusal: ask what has."""
        if state_of(error) not in (400, 403):
            return
        try:
            self.access.client().list_objects_v2(Bucket=self.name, MaxKeys=1)
        except ClientError as why:
            if code_of(why) in CREDENTIALS_CODES:
                raise

    def _put_conditionally(
        self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        put_id = secrets.token_hex(8)
        with self._translated(key):
            for attempt in range(_CONFLICT_ATTEMPTS):
                try:
                    answer = self.access.client().put_object(
                        Bucket=self.name,
                        Key=key,
                        Body=data,
                        ContentType=content_type,
                        Metadata={**metadata, _PUT_ID: put_id},
                        IfNoneMatch="*",
                    )
                except ClientError as error:
                    if state_of(error) == 412:
                        repeated = error.response["ResponseMetadata"].get("RetryAttempts", 1) > 0
                        return (repeated or attempt > 0) and self._put_id(key) == put_id
                    if state_of(error) != 409 or attempt == _CONFLICT_ATTEMPTS - 1:
                        raise
                else:
                    self._prove(answer, has_etag)
                    return True
        raise AssertionError("unreachable")

    def _put_id(self, key: str) -> str | None:
        """Who put the object: a 412 after a repetition by the SDK may stem from our own first try."""
        try:
            answer = self.access.client().head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if state_of(error) == 404:
                return None
            raise
        self._prove(answer, has_etag)
        return {name.lower(): value for name, value in answer["Metadata"].items()}.get(_PUT_ID)

    def _heeds_conditions(self, probe_key: str) -> bool:
        """Whether a second put with `If-None-Match: *` is refused, as not every imitation does."""
        client = self.access.client()
        with self._translated(probe_key):
            try:
                for _ in range(2):
                    answer = client.put_object(
                        Bucket=self.name, Key=probe_key, Body=b"probe", IfNoneMatch="*"
                    )
                    self._prove(answer, has_etag)
            except ClientError as error:
                # An imitation that does not know the header may also say so, in its own way.
                if state_of(error) not in (400, 412, 501):
                    raise
                return state_of(error) == 412
            finally:
                self.delete(probe_key)
        return False

    def _prove(self, answer: Mapping[str, Any], check: Callable[[Mapping[str, Any]], bool]) -> None:
        """Raises StoreUnavailable when it was not S3 that answered so well."""
        if not check(answer):
            raise self._not_s3(answer)

    def _not_s3(self, answer: Mapping[str, Any]) -> StoreUnavailable:
        state = answer["ResponseMetadata"]["HTTPStatusCode"]
        return not_s3(f"state {state}", bucket=self.name, endpoint=self.access.endpoint)

    @contextmanager
    def _translated(self, key: str = "") -> Iterator[None]:
        try:
            with translated(bucket=self.name, endpoint=self.access.endpoint, key=key):
                yield
        except CredentialsUnusable:
            self.access.renew()
            raise
