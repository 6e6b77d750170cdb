"""docs/webhooks.md and its schema are compared with the payloads, and its receiver is really run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from impasto.producer.webhooks import payloads
from impasto.producer.webhooks.addresses import Allowed
from impasto.producer.webhooks.post import Poster
from impasto.producer.webhooks.retries import ATTEMPTS
from impasto.producer.webhooks.signing import new_secret, signed_headers
from servers import free_port
from workers import eventually

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "webhooks.md").read_text()


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((DOCS / "webhooks.schema.json").read_text())
    assert published == payloads.json_schema(), (
        "write payloads.json_schema() into docs/webhooks.schema.json, indented by 2, ensure_ascii False"
    )


def test_the_page_lists_every_event() -> None:
    table = PAGE.split("## Events")[1].split("###")[0]
    assert re.findall(r"^\| `([a-z.]+)` \|", table, re.M) == [type.value for type in payloads.WebhookType]


@pytest.mark.parametrize(
    "part",
    [
        payloads.BatchOver,
        payloads.PairIsDone,
        payloads.PairHasFailed,
        payloads.ScheduleIsFinished,
        payloads.IsATest,
    ],
)
def test_the_page_names_every_field(part: type[BaseModel]) -> None:
    section = PAGE.split(f"### {part.__name__}\n")[1].split("\n## ")[0].split("\n### ")[0]
    if part is payloads.PairHasFailed:
        section += PAGE.split("### PairIsDone\n")[1].split("\n### ")[0]
    assert set(part.model_fields) - set(re.findall(r"`([a-z0-9_]+)`", section)) == set()


def test_the_page_names_every_delay() -> None:
    told = PAGE.split("sent again after ")[1].split(", each")[0]
    assert len(re.split(r", | and ", told)) == ATTEMPTS - 1


def test_the_example_of_a_body_is_one() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    event = payloads.EVENT.validate_json(text)
    assert isinstance(event, payloads.BatchFinished)
    assert json.loads(event.model_dump_json()) == json.loads(text)


def test_the_example_of_a_receiver_takes_what_is_signed_once_and_refuses_all_else(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    secret, port = new_secret(), free_port()
    poster = Poster(Allowed.of(["127.0.0.1"]))
    body = json.dumps({"type": "webhook.test", "timestamp": "2026-05-01T00:00:00Z", "data": {"message": "é"}})

    def status(signing: str) -> int | None:
        headers = signed_headers("msg_1", body, [signing])
        return poster.post(f"http://127.0.0.1:{port}/", body, headers).status

    with (tmp_path / "out").open("w") as out:
        environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port), "PYTHONUTF8": "1"}
        receiver = subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=out, stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: status(new_secret()) == 401, what="the receiver")
            assert status(secret) == 204
            assert status(secret) == 204
        finally:
            receiver.kill()
            receiver.wait()
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert line == "webhook.test {'message': 'é'}"
