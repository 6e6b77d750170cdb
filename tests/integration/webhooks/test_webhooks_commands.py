"""`impasto webhooks`, as people and programs use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from impasto.producer.cli import main
from impasto.producer.connection import Connection
from impasto.producer.doctor import examine
from impasto.producer.webhooks import ScheduleIsFinished, add_to_outbox
from impasto.producer.webhooks.courier import Courier
from impasto.producer.webhooks.signing import new_secret
from impasto.shared.errors import BadSettings, NoSuchWebhook
from ledger_contract import Clock
from servers import free_port
from stage import Stage
from webhook_receiver import Answer, Receiver

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`impasto webhooks` with its words: exit code, stdout, stderr."""
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["webhooks", *words])
        return code, *capsys.readouterr()

    return run


def answer(ran: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = ran
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def test_a_secret_is_shown_when_it_is_made_and_never_again(run: Run, receiver: Receiver) -> None:
    code, out, err = run("add", receiver.url, "--events", "batch.finished,pair.done", "--batch", "a*")
    assert code == 0
    first, second = out.splitlines()
    id, secret = first.split()[0], second.removeprefix("secret: ")
    assert first == f"{id} is told of batch.finished, pair.done"
    assert "not shown again" in err
    rotated = answer(run("rotate", id[:6], "--json"))["secret"]
    told = ""
    for words in (["list"], ["show", id], ["list", "--json"], ["pause", id], ["resume", id, "--json"]):
        code, out, err = run(*words)
        assert code == 0, err
        told += out + err
    for hidden in (secret, rotated):
        assert hidden.removeprefix("whsec_") not in told
    assert "a*" in told
    assert answer(run("remove", id, "--json")) == {"removed": id}
    assert answer(run("list", "--json")) == {"webhooks": []}


def test_a_test_is_sent_at_once_and_its_outcome_is_the_exit_code(run: Run, receiver: Receiver) -> None:
    secret = new_secret()
    receiver.secrets.append(secret)
    id = answer(run("add", receiver.url, "--secret", secret, "--json"))["webhook"]["id"]
    assert answer(run("test", id, "--json"))["taken"]
    assert [event["type"] for event in receiver.events] == ["webhook.test"]
    receiver.answers.append(Answer(500, body=b"try \x07 later"))
    code, out, _ = run("test", receiver.url.replace("http://", "HTTP://") + "#known")
    assert code == 1
    assert "did not take the test: HTTP 500" in out
    assert r"try \x07 later" in out
    assert len(receiver.events) == 2
    code, out, _ = run("test", f"http://127.0.0.1:{receiver.port}/other?token=hunter2")
    assert code == 0
    made = out.splitlines()[-1].split()[2].rstrip(",")
    assert "hunter2" not in out
    receiver.secrets = [made]
    assert receiver.verified(receiver.posts[-1].body, receiver.posts[-1].headers) is not None


def test_what_was_given_up_is_listed_and_sent_again(
    run: Run, connection: Connection, courier: Courier, clock: Clock, receiver: Receiver
) -> None:
    id = answer(run("add", receiver.url, "--events", "all", "--json"))["webhook"]["id"]
    receiver.answers.append(Answer(410))
    add_to_outbox(
        connection, ScheduleIsFinished(schedule="nightly", fired_at="2026-05-01T00:00:00Z", outcome="skipped")
    )
    courier.turn()
    assert courier.settle(30)
    (dead,) = answer(run("deliveries", "--failed", "--json"))["deliveries"]
    assert (dead["webhook"], dead["attempts"], dead["last"]["status"]) == (id, 1, 410)
    assert dead["event"]["data"]["schedule"] == "nightly"
    code, out, _ = run("deliveries", "--failed")
    assert dead["id"] in out
    assert answer(run("redeliver", "--failed", id, "--json")) == {"redelivered": 1}
    code, out, _ = run("redeliver", dead["id"])
    assert f"once {id}, which is disabled, is resumed" in out
    assert answer(run("resume", id, "--json"))["state"] == "active"
    courier.turn()
    assert courier.settle(30)
    assert [post.id for post in receiver.posts] == [dead["id"]] * 2
    code, out, _ = run("redeliver", dead["id"])
    assert (code, out) == (0, "1 delivery will be sent again at once\n")


def test_what_may_not_be_or_is_not_there_is_refused_with_the_mend(run: Run, receiver: Receiver) -> None:
    for words, code, told in (
        (["add", "ftp://hooks.example"], BadSettings.exit_code, "write https://host/path"),
        (["add", "http://localhost:1/"], BadSettings.exit_code, "IMPASTO_WEBHOOK_ALLOW"),
        (["add", "https://10.0.0.1/"], BadSettings.exit_code, "IMPASTO_WEBHOOK_ALLOW"),
        (["add", receiver.url, "--events", "batch.over"], BadSettings.exit_code, "'batch.over': choose from"),
        (["add", receiver.url, "--secret", "hunter2"], BadSettings.exit_code, "leave it out"),
        (["show", "wh-none"], NoSuchWebhook.exit_code, "`impasto webhooks list`"),
        (["redeliver", "msg_none"], NoSuchWebhook.exit_code, "`impasto webhooks deliveries`"),
        (["test", "wh-none"], NoSuchWebhook.exit_code, "'wh-none'"),
    ):
        ended, out, err = run(*words)
        assert (ended, out) == (code, ""), words
        assert told in err, words
        assert len(err.splitlines()) == 1
        assert "hunter2" not in err
    assert answer(run("list", "--json")) == {"webhooks": []}


def test_who_does_not_answer_is_added_with_a_warning_and_named_by_doctor(
    run: Run, stage: Stage, connection: Connection, courier: Courier, receiver: Receiver
) -> None:
    url = f"http://127.0.0.1:{free_port()}/?key=hunter2"
    code, out, err = run("add", url, "--events", "all")
    assert code == 0
    assert "can't be reached now (Connection refused)" in err
    again = run("add", url)
    assert again[0] == BadSettings.exit_code
    assert "a webhook already" in again[2]
    run("add", receiver.url, "--events", "all")
    add_to_outbox(
        connection, ScheduleIsFinished(schedule="nightly", fired_at="2026-05-01T00:00:00Z", outcome="done")
    )
    courier.turn()
    assert courier.settle(30)
    assert len(receiver.posts) == 1
    stage.ledger.beat("a worker", {}, ttl_seconds=60)
    told = [check for check in examine(stage.deployment).checks if check.name == "webhooks"]
    (failing,) = told
    assert failing.status == "warning"
    assert "took none of the last 1: no answer: Connection refused; 1 wait" in failing.detail
    assert "impasto webhooks test wh-" in failing.mend
    assert "hunter2" not in failing.detail + err + out
