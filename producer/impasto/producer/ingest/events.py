"""What the messages of a queue say: S3's notifications, plain, in SNS envelopes, or by way of EventBridge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from impasto.shared.errors import BadMessage

_MOST_ENVELOPES: Final = 3
_NO_VERSION: Final = ("", "null")


@dataclass(frozen=True, order=True)
class CreatedObject:
    """One version of an object that came to be. `version` tells it from others under the same key."""

    bucket: str
    key: str
    version: str
    size_bytes: int = field(default=0, compare=False)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def identity(self) -> str:
        """sha256, hexadecimal: the same for the same event, however often it is delivered."""
        told = "\n".join((self.bucket, self.key, self.version))
        # JSON may have halves of surrogate pairs in it, which UTF-8 has not.
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Notification:
    """What one message says. `others` counts events of other kinds: removals, tests, what is not of S3."""

    created: Sequence[CreatedObject] = ()
    others: int = 0


class _Lenient(BaseModel):
    """Servers add fields, and some leave out what is not known."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Bucket(_Lenient):
    name: str = Field(min_length=1)


class _Object(_Lenient):
    key: str = Field(min_length=1)
    size: int = 0
    etag: str = Field("", validation_alias=AliasChoices("eTag", "etag"))
    version_id: str | None = Field("", validation_alias=AliasChoices("versionId", "version-id"))
    sequencer: str = ""

    def created_in(self, bucket: str, key: str, happened_at: str) -> CreatedObject:
        version = self.version_id
        if version is None or version in _NO_VERSION:
            # Of two puts without versions the sequencer differs even where the bytes are the same.
            version = f"{self.etag} {self.sequencer or happened_at}"
        return CreatedObject(bucket, key, version, self.size)


class _S3(_Lenient):
    bucket: _Bucket
    object: _Object


class _Record(_Lenient):
    """Of S3's own notification (event structure 2.x)."""

    event_name: str = Field(alias="eventName")
    event_time: str = Field("", alias="eventTime")
    s3: _S3


class _Detail(_Lenient):
    bucket: _Bucket
    object: _Object


class _BridgeEvent(_Lenient):
    """Of EventBridge."""

    detail_type: str = Field(alias="detail-type")
    time: str = ""
    detail: _Detail


def read(body: str) -> Notification:
    """What a message says. Raises BadMessage when it is no event of S3 in any of the known forms."""
    try:
        said = json.loads(body)
        for _ in range(_MOST_ENVELOPES):
            if not _is_envelope(said):
                break
            said = json.loads(said["Message"])
        return _read(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"it is no event of S3: {where}: {first['msg']}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise BadMessage(f"it is no JSON: {error}") from error


def _is_envelope(said: Any) -> bool:
    return isinstance(said, Mapping) and said.get("Type") == "Notification" and "Message" in said


def _read(said: Any) -> Notification:
    if not isinstance(said, Mapping):
        raise BadMessage("it is no event of S3, but some other JSON")
    if said.get("Event") == "s3:TestEvent":
        return Notification(others=1)
    if "detail-type" in said:
        return _of_bridge(said)
    if not isinstance(said.get("Records"), list):
        raise BadMessage("it is no event of S3: it has no Records")
    created: list[CreatedObject] = []
    others = 0
    for entry in said["Records"]:
        if not _is_creation(entry):
            others += 1
            continue
        record = _Record.model_validate(entry)
        key = unquote_plus(record.s3.object.key)
        created.append(record.s3.object.created_in(record.s3.bucket.name, key, record.event_time))
    return Notification(created, others)


def _is_creation(entry: Any) -> bool:
    """S3 says `ObjectCreated:Put`; some imitations write `s3:` before it."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("eventName"), str):
        raise BadMessage("it is no event of S3: a record has no eventName")
    name: str = entry["eventName"]
    return "s3" in entry and name.removeprefix("s3:").startswith("ObjectCreated")


def _of_bridge(said: Mapping[str, Any]) -> Notification:
    """Its keys are written as they are, not as in a URL."""
    if said["detail-type"] != "Object Created":
        return Notification(others=1)
    event = _BridgeEvent.model_validate(said)
    made = event.detail.object
    return Notification([made.created_in(event.detail.bucket.name, made.key, event.time)])
