from __future__ import annotations

import json
from typing import Any

import pytest

from impasto.producer.ingest.door import OWN_FOLDERS, Door, Verdict
from impasto.producer.ingest.events import CreatedObject, read
from impasto.shared import layout
from impasto.shared.errors import BadMessage, BadSettings


def record(key: str, event: str = "ObjectCreated:Put", **fields: Any) -> dict[str, Any]:
    """One record of a notification, as in Amazon's manual (event message structure 2.1)."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": event,
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRj"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": "amzn-s3-demo-bucket",
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": "arn:aws:s3:::amzn-s3-demo-bucket",
            },
            "object": {
                "key": key,
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
                **fields,
            },
        },
    }


def notification(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


def test_a_key_is_written_as_in_a_url_and_several_records_are_several_objects() -> None:
    said = read(
        notification(
            record("in/my+photo%20%281%29.jpg", versionId="v1"),
            record("in/H%C3%A4fen%2B.jpg", "s3:ObjectCreated:CompleteMultipartUpload"),
            record("in/gone.jpg", "ObjectRemoved:Delete"),
        )
    )
    assert [one.key for one in said.created] == ["in/my photo (1).jpg", "in/Häfen+.jpg"]
    assert (said.created[0].version, said.created[0].size_bytes, said.others) == ("v1", 1024, 1)
    assert said.created[0].uri == "s3://amzn-s3-demo-bucket/in/my photo (1).jpg"


def test_the_test_event_is_of_another_kind() -> None:
    body = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "5", "HostId": "8"}
    said = read(json.dumps(body))
    assert (said.created, said.others) == ((), 1)


def test_an_envelope_of_sns_is_opened() -> None:
    inside = notification(record("a%2Bb.jpg"))
    body = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:…", "Message": inside}
    assert read(json.dumps(body)).created == read(inside).created


def test_an_event_of_eventbridge_has_its_key_as_it_is() -> None:
    body = {
        "version": "0",
        "id": "2d4eba74",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2021-11-12T00:00:00Z",
        "detail": {
            "version": "0",
            "bucket": {"name": "b"},
            "object": {"key": "a+b%20c.jpg", "size": 5, "etag": "b1946ac9", "version-id": "IYV3p45B"},
            "reason": "PutObject",
        },
    }
    (made,) = read(json.dumps(body)).created
    assert (made.bucket, made.key, made.version) == ("b", "a+b%20c.jpg", "IYV3p45B")
    assert read(json.dumps({**body, "detail-type": "Object Deleted"})).others == 1


def test_the_same_event_is_the_same_version_and_another_put_is_another() -> None:
    (first,) = read(notification(record("a.jpg"))).created
    (again,) = read(notification(record("a.jpg", versionId="null", size=7))).created
    (later,) = read(notification(record("a.jpg", sequencer="0055AED6DCD90281E6"))).created
    (versioned,) = read(notification(record("a.jpg", versionId="v"))).created
    (other_key,) = read(notification(record("b.jpg"))).created
    assert first.identity == again.identity
    (half,) = read(notification(record("a.jpg", versionId="\ud800"))).created
    assert len({one.identity for one in (first, later, versioned, other_key, half)}) == 5


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("no json", "no JSON"),
        ("[]", "some other JSON"),
        ("{}", "no Records"),
        ('{"Records": ["text"]}', "eventName"),
        ('{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}}}]}', "s3.bucket.name"),
        ('{"Type": "Notification", "Message": "hello"}', "no JSON"),
        ('{"Type": "Notification", "Message": {"Records": []}}', "no JSON"),
        (notification(record("\ud800.jpg")), "s3.object.key"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_event_is_told_with_what_is_wrong(body: str, word: str) -> None:
    with pytest.raises(BadMessage, match=word):
        read(body)


def made(key: str, bucket: str = "museum") -> CreatedObject:
    return CreatedObject(bucket, key, "v")


@pytest.mark.parametrize(
    ("store", "prefix", "key", "verdict"),
    [
        ("s3://museum", None, "in/a.jpg", Verdict.PICTURE),
        ("s3://museum", "in/", "in/a.JPEG", Verdict.PICTURE),
        ("s3://museum", "s3://museum/in/", "other/a.jpg", Verdict.OUTSIDE),
        ("s3://museum", "s3://elsewhere/in/", "in/a.jpg", Verdict.OUTSIDE),
        ("s3://museum", None, "in/notes.txt", Verdict.NO_PICTURE),
        ("s3://museum", None, "in/", Verdict.NO_PICTURE),
        ("s3://museum", None, "outputs/b/a__b.png", Verdict.OWN),
        ("s3://museum/restyled", None, "restyled/inputs/0.png", Verdict.OWN),
        ("s3://museum/restyled", None, "restyled/in/a.png", Verdict.PICTURE),
        ("s3://museum/restyled", None, "outputs/a.png", Verdict.PICTURE),
        ("s3://other", None, "in/a.jpg", Verdict.NOT_ALLOWED),
        ("file:///store", "in/", "in/a.jpg", Verdict.NOT_ALLOWED),
    ],
)
def test_only_pictures_that_are_not_our_own_come_in(
    store: str, prefix: str | None, key: str, verdict: Verdict
) -> None:
    assert Door.make(prefix, store, ()).judge(made(key)) is verdict


def test_another_bucket_comes_in_where_workers_may_read_it() -> None:
    door = Door.make("in/", "file:///store", ["s3://museum/in"])
    assert door.judge(made("in/a.jpg")) is Verdict.PICTURE
    assert door.judge(made("in/a.jpg", "museum-2")) is Verdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("prefix", "word"),
    [
        ("s3://museum/x/outputs/june/", "again and again"),
        ("s3:///in", "no bucket"),
        ("https://a/b", "none of S3"),
    ],
)
def test_a_prefix_that_would_go_round_in_circles_is_refused(prefix: str, word: str) -> None:
    with pytest.raises(BadSettings, match=word):
        Door.make(prefix, "s3://museum/x", ())


def test_every_folder_of_the_store_is_known_as_our_own() -> None:
    keys = [
        layout.input_key("0" * 64, "png"),
        layout.spec_key("b"),
        layout.picture_key("b", "a__b", "png"),
        layout.result_key("0" * 64),
        *(value for name, value in vars(layout).items() if name.isupper() and str(value).endswith("/")),
    ]
    assert all(key.startswith(OWN_FOLDERS) for key in keys)
