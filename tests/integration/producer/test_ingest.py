from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from faulty_proxy import Fault, FaultyProxy
from impasto.producer import Client
from impasto.producer.cli import main
from impasto.shared.deployment import Deployment
from s3_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from servers import RedisServer, valkey_binary
from stage import Stage, picture, png
from workers import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

IMPASTO = (sys.executable, "-m", "impasto.producer.cli")


@dataclass
class Arrivals:
    """A bucket of its own that tells a queue of every object that is created in it."""

    server: S3Server
    bucket: str
    queue: str
    sqs: SQSClient
    url: str
    arn: str

    def tell_of(self, prefix: str | None) -> None:
        """The queue hears of what is created there from now on; None: of everything."""
        told: Any = {"QueueArn": self.arn, "Events": ["s3:ObjectCreated:*"]}
        if prefix is not None:
            told["Filter"] = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
        self.server.access().client().put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"QueueConfigurations": [told]}
        )

    def put(self, key: str, data: bytes) -> None:
        self.server.access().client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def hidden(self) -> int:
        """Messages that someone has taken."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    def waiting(self) -> int:
        """Messages on the queue, hidden ones too."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
        return sum(int(answer["Attributes"][name]) for name in names)


@pytest.fixture
def arrivals(s3_server: S3Server) -> Arrivals:
    name = f"arrivals-{uuid.uuid4().hex[:8]}"
    sqs = boto3.session.Session().client(
        "sqs",
        endpoint_url=s3_server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(retries={"total_max_attempts": 1}),
    )
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3_server.create_bucket(name)
    arrivals = Arrivals(s3_server, name, name, sqs, url, arn)
    arrivals.tell_of("in/")
    return arrivals


@pytest.fixture
def stage(environment: dict[str, str], arrivals: Arrivals, namespace: str) -> Iterator[Stage]:
    """A deployment whose store lies in the bucket of the arrivals."""
    stage = Stage(
        {
            **environment,
            **arrivals.server.environment,
            "IMPASTO_STORE_URL": f"s3://{arrivals.bucket}/restyled",
        }
    )
    yield stage
    stage.close()


@pytest.fixture
def style(tmp_path: Path) -> Path:
    path = tmp_path / "night.png"
    path.write_bytes(png(picture(9)))
    return path


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Ingest = Callable[..., Ran]


@pytest.fixture
def ingest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Ingest:
    """The command in this process."""
    monkeypatch.chdir(tmp_path)
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)

    def ingest(*words: object) -> Ran:
        capfd.readouterr()
        code = main(["ingest", *map(str, words)])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return ingest


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_picture_that_arrives_is_restyled_with_nobody_at_the_keyboard(
    stage: Stage, arrivals: Arrivals, style: Path, tmp_path: Path
) -> None:
    arrivals.tell_of(None)
    words = ["ingest", "--queue", arrivals.queue, "--styles", str(style), "--prefix", "in/", "--json"]
    log = tmp_path / "ingest.log"
    with stage.noop_worker(tmp_path / "worker.log"), log.open("w") as out:
        process = subprocess.Popen(
            [*IMPASTO, *words], env={**os.environ, **stage.environment}, stdout=out, stderr=out
        )
        try:
            arrivals.put("in/Häfen [1]+2.png", png(picture(1)))
            output = "restyled/outputs/"

            def outputs() -> list[str]:
                client = arrivals.server.access().client()
                found = client.list_objects_v2(Bucket=arrivals.bucket, Prefix=output)
                return [entry["Key"].rpartition("/")[2] for entry in found.get("Contents", ())]

            eventually(lambda: len(outputs()) == 2, what="the picture")
            assert sorted(outputs()) == ["Häfen_1_2__night.json", "Häfen_1_2__night.png"]
            # What was put there in the meantime, told by the same queue, does not come in again.
            eventually(lambda: arrivals.waiting() == 0, what="an empty queue")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
    told = lines("\n".join(line for line in log.read_text().splitlines() if line.startswith("{")))
    assert [one["event"] for one in told if one["event"] == "batch"] == ["batch"]
    assert told[-1]["event"] == "stopped"
    assert told[-1]["passed_over"]["own"] >= 4
    assert len(stage.ledger.batches()) == 1


def test_what_comes_together_is_one_batch_and_each_message_ends_in_one_way(
    ingest: Ingest, arrivals: Arrivals, style: Path
) -> None:
    arrivals.tell_of(None)
    arrivals.put("in/a.png", png(picture(1)))
    arrivals.put("in/b.png", png(picture(2)))
    arrivals.put("in/broken.png", b"no picture")
    arrivals.put("in/notes.txt", b"text")
    arrivals.put("in/gone.png", png(picture(3)))
    arrivals.server.access().client().delete_object(Bucket=arrivals.bucket, Key="in/gone.png")
    arrivals.put("restyled/outputs/x/y.png", png(picture(4)))
    arrivals.sqs.send_message(QueueUrl=arrivals.url, MessageBody="hello")
    foreign = {"bucket": {"name": "elsewhere"}, "object": {"key": "in/c.png", "eTag": "e", "sequencer": "1"}}
    body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": foreign}]})
    arrivals.sqs.send_message(QueueUrl=arrivals.url, MessageBody=body)

    ran = ingest("--queue", arrivals.queue, "--styles", style, "--once", "--json")
    assert ran.code == 1, ran.err
    *told, last = lines(ran.out)
    (batch,) = [one for one in told if one["event"] == "batch"]
    assert (batch["pairs"], batch["contents"], batch["objects"]) == (2, 2, 3)
    assert [one["input"] for one in batch["rejected"]] == [f"s3://{arrivals.bucket}/in/broken.png"]
    assert f"rejected: s3://{arrivals.bucket}/in/broken.png: this is no picture" in ran.err
    assert [one["error"] for one in told if one["event"] == "poison"] == [
        "it is no JSON: Expecting value: line 1 column 1 (char 0)"
    ]
    (left,) = [one["error"] for one in told if one["event"] == "left"]
    assert left.startswith("s3://elsewhere/in/c.png: ")
    assert "IMPASTO_INPUT_PREFIXES" in left
    assert "has no dead-letter queue" in ran.err
    # The store's own objects were told of as well, as many as came before the queue was empty.
    passed_over = last.pop("passed_over")
    # S3's test event comes with each of the two configurations.
    assert (passed_over["gone"], passed_over["other_events"]) == (1, 2)
    assert min(passed_over["no_picture"], passed_over["own"]) >= 1
    assert last.pop("messages") == sum(passed_over.values()) + 5
    assert last == {
        "event": "stopped",
        "batches": 1,
        "pairs": 2,
        "objects": 3,
        "rejected": 1,
        "left": 2,
    }
    again = ingest("--queue", arrivals.url, "--styles", style, "--once")
    assert (again.code, again.out) == (0, "")
    assert again.err.splitlines()[-1].endswith("0 pictures, 0 batches, 0 pairs")
    assert arrivals.waiting() == 2


KILLED = """
import os, signal, sys
from impasto.producer.ingest import ingestion
from impasto.producer.ingest.claims import Claims

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

ingestion.HIDDEN_SECONDS = 1
point = sys.argv.pop(1)
if point == "claimed":
    ingestion.submitting.submit = die
else:
    Claims.settle = die
from impasto.producer.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("point", ["claimed", "submitted"])
def test_killed_between_claim_and_deletion_it_makes_one_batch(
    stage: Stage, ingest: Ingest, arrivals: Arrivals, style: Path, point: str
) -> None:
    arrivals.put("in/a.png", png(picture(1)))
    arrivals.put("in/b.png", png(picture(2)))
    words = ("--queue", arrivals.queue, "--styles", str(style), "--once")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, point, "ingest", *words],
        env={**os.environ, **stage.environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(stage.ledger.batches()) == (point != "claimed")
    assert arrivals.waiting() > 0
    # What came meanwhile is another batch, and does not tear the first one apart.
    arrivals.put("in/c.png", png(picture(3)))
    eventually(lambda: arrivals.hidden() == 0, what="what the dead one had in hand")
    assert ingest(*words).code == 0
    assert arrivals.waiting() == 0
    contents = sorted(
        sorted(job.content.name.rpartition("/")[2] for job in stage.files.jobs(batch))
        for batch in stage.ledger.batches()
    )
    assert contents == [["a.png", "b.png"], ["c.png"]]


def test_it_outlasts_a_queue_and_a_redis_that_are_away(
    stage: Stage, arrivals: Arrivals, style: Path, tmp_path: Path
) -> None:
    with (
        RedisServer(valkey_binary(), tmp_path) as redis,
        FaultyProxy(arrivals.server.endpoint_url) as proxy,
        (tmp_path / "log").open("w") as log,
    ):
        environment = {
            **stage.environment,
            "IMPASTO_REDIS_URL": redis.url,
            "IMPASTO_SQS_ENDPOINT_URL": proxy.endpoint_url,
        }
        process = subprocess.Popen(
            [*IMPASTO, "ingest", "--queue", arrivals.queue, "--styles", str(style)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            eventually(lambda: "waiting for pictures" in (tmp_path / "log").read_text())
            redis.stop()
            arrivals.put("in/a.png", png(picture(1)))
            eventually(lambda: "again in" in (tmp_path / "log").read_text(), what="a word of Redis")
            redis.start()
            names = {k.removeprefix("IMPASTO_").lower(): v for k, v in environment.items()}
            with Client(Deployment.load(_env_file=None, **names)) as client:
                eventually(lambda: len(client.batches()) == 1, what="the batch")
                with proxy.suffering(Fault.BROKEN):
                    arrivals.put("in/b.png", png(picture(2)))
                    eventually(lambda: "can't answer now" in (tmp_path / "log").read_text())
                eventually(lambda: len(client.batches()) == 2, what="the second batch")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--queue", "no-such-queue"), 66, "queue no-such-queue at http://127.0.0.1"),
        (("--queue", "a name"), 64, "is no queue"),
        (("--prefix", "s3://{bucket}/restyled/outputs/"), 64, "again and again"),
        (("--styles", "nowhere"), 65, "no style is left"),
        (("--preset", "nope"), 64, "nope"),
        (("--priority", "12"), 64, "priority is 12"),
    ],
)
def test_what_can_not_work_is_told_at_once(
    ingest: Ingest, arrivals: Arrivals, style: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    filled = [word.format(bucket=arrivals.bucket) for word in words]
    queue = () if "--queue" in filled else ("--queue", arrivals.queue)
    styles = () if "--styles" in filled else ("--styles", style)
    ran = ingest(*queue, *styles, *filled)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err.splitlines()[-1]
    assert ran.err.count("impasto: ") == 1
