from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from impasto.producer import Client
from impasto.producer.cli import main
from impasto.producer.schedules.book import Book
from impasto.producer.schedules.entries import Entries
from impasto.producer.schedules.records import Fire
from impasto.producer.schedules.runner import Runner
from impasto.producer.schedules.scheduler import FireScheduler, Tenure
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ImpastoError, InputRefused, NoSuchSchedule
from impasto.shared.ledger import BatchState
from impasto.shared.ledger.keys import Keys
from workers import eventually


@pytest.fixture
def arguments(photos: Path) -> dict[str, Any]:
    return {
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "contents": photos,
        "styles": photos / "photo 0.png",
        "settings": {"size_px": 32, "steps": 2},
    }


def fire_now(client: Client, entries: Entries, book: Book, name: str) -> None:
    """As a beat would do it."""
    client.schedules.run_now(name)
    runner = Runner(client, entries, book)
    runner.turn()
    eventually(lambda: not runner.busy and not book.fires(), what="the fire's end")


def test_the_command_line_adds_shows_pauses_and_removes(
    environment: dict[str, str],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(photos.parent)

    def impasto(*words: str, code: int = 0) -> tuple[str, str]:
        assert main(["schedule", *words]) == code
        captured = capsys.readouterr()
        return captured.out, captured.err

    sources = ("--contents", "photos", "--styles", "photos/*.png", "--size", "32", "--set", "steps=2")
    out, err = impasto("add", "holidays", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", *sources)
    assert out.startswith("holidays: fires next ")
    assert "no beat is alive" in err

    shown = json.loads(impasto("show", "holidays", "--json")[0])
    assert shown["contents"] == [str(photos)]
    assert shown["styles"] == [str(photos / "*.png")]
    assert shown["settings"] == {"size_px": 32, "steps": 2}
    (listed,) = json.loads(impasto("list", "--json")[0])["schedules"]
    assert listed == shown
    assert "02:30 CE" in impasto("list")[0]
    assert "never fired" in impasto("list")[0]

    assert json.loads(impasto("pause", "holidays", "--json")[0])["next_fire"] is None
    assert "paused" in impasto("list")[0]
    assert json.loads(impasto("resume", "holidays", "--json")[0])["next_fire"] == shown["next_fire"]
    assert impasto("run-now", "holidays")[0] == "holidays fires now\n"
    assert "waiting" in impasto("show", "holidays")[0]
    assert json.loads(impasto("remove", "holidays", "--json")[0]) == {"removed": "holidays"}
    assert impasto("list")[0] == "no schedule yet: make one with impasto schedule add\n"
    assert "'holidays'" in impasto("show", "holidays", code=67)[1]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"cron": "0 25 * * *"}, BadSettings, "hour 25"),
        ({"timezone": "Berlin"}, BadSettings, "Europe/Berlin"),
        ({"contents": "nowhere/photos"}, InputRefused, "contents nowhere/photos"),
        ({"styles": "http://example.com/a.png"}, BadSettings, "styles http://example.com/a.png"),
        ({"styles": ()}, BadSettings, "no styles"),
        ({"settings": {"size": 3}}, BadSettings, "'size'"),
        ({"preset": "monet"}, BadSettings, "monet"),
        ({"window": "22-6"}, BadSettings, "22:00-06:00"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_by_name_and_leaves_nothing(
    client: Client,
    arguments: dict[str, Any],
    change: dict[str, Any],
    error: type[ImpastoError],
    words: str,
) -> None:
    with pytest.raises(error) as refused:
        client.schedules.add("holidays", **{**arguments, **change})

    assert words in str(refused.value)
    assert client.schedules.all() == []
    client.connection.check()
    assert list(client.connection.store.list(layout.SCHEDULES)) == []


def test_a_name_that_is_taken_is_refused_and_whose_it_is_stays_as_it_was(
    client: Client, arguments: dict[str, Any]
) -> None:
    first = client.schedules.add("holidays", **arguments)

    with pytest.raises(BadSettings, match="holidays is there already"):
        client.schedules.add("holidays", **{**arguments, "cron": "0 5 * * *"})

    assert client.schedules.get("holidays") == first


@pytest.mark.parametrize("action", ["get", "run_now", "pause", "resume", "remove"])
def test_a_schedule_that_is_not_there_is_told(client: Client, action: str) -> None:
    with pytest.raises(NoSuchSchedule, match="'holidays'"):
        getattr(client.schedules, action)("holidays")


def test_the_same_name_again_after_a_removal_is_a_schedule_of_its_own(
    client: Client, entries: Entries, book: Book, arguments: dict[str, Any]
) -> None:
    client.schedules.add("holidays", **arguments)
    fire_now(client, entries, book, "holidays")
    assert client.schedules.get("holidays").last is not None
    client.schedules.run_now("holidays")
    client.schedules.remove("holidays")

    again = client.schedules.add("holidays", **{**arguments, "cron": "0 5 * * *"})

    assert again.last is None
    assert again.waiting == ()
    assert again.next_fire is not None
    assert again.next_fire.minute == 0


def test_a_clock_that_was_years_ahead_is_forgotten_when_the_schedule_is_resumed(
    client: Client, entries: Entries, arguments: dict[str, Any]
) -> None:
    before = client.schedules.add("holidays", **arguments).next_fire
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    entry = entries.get("holidays")
    assert entries.fired(entry, Fire(schedule="holidays", fired_at=ahead, noticed_at=ahead))
    waits = client.schedules.get("holidays").next_fire
    assert waits is not None
    assert waits > ahead
    client.schedules.pause("holidays")
    assert client.schedules.resume("holidays").next_fire == before


def test_a_schedule_of_a_newer_version_keeps_its_place_hinders_no_other_and_can_be_removed(
    client: Client, entries: Entries, book: Book, arguments: dict[str, Any]
) -> None:
    """As when a standby of an older version takes over."""
    for name in ("always", "newer"):
        client.schedules.add(name, **arguments)
    entry, redis = entries.get("newer"), client.connection.redis
    definition = json.loads(entry.definition())
    definition["kwargs"]["spec"]["colour"] = "blue"
    redis.hset(entry.key, "definition", json.dumps(definition))
    queue = entry.app.redbeat_conf.schedule_key
    redis.zadd(queue, {entry.key: 1})

    beat = FireScheduler(entry.app, known=entries, tenure=Tenure(), lazy=True)
    for due in beat.schedule.values():
        beat.maybe_due(due)
    assert redis.zscore(queue, entry.key) == 1
    assert book.fires() == []

    now = datetime.now(UTC).replace(microsecond=0)
    book.write_down(Fire(schedule="newer", fired_at=now - timedelta(hours=1), noticed_at=now))
    fire_now(client, entries, book, "always")
    assert client.schedules.get("always").last_batch is not None
    (result,) = book.state("newer").results
    assert (result.outcome, "colour" in result.message) == ("failed", True)

    with pytest.raises(BadSettings, match=r"schedule newer can't be read here: .*colour"):
        client.schedules.all()
    client.schedules.remove("newer")
    assert [one.spec.name for one in client.schedules.all()] == ["always"]


def test_an_emptied_redis_is_given_its_schedules_back_with_hours_and_what_is_not_over(
    client: Client, entries: Entries, book: Book, arguments: dict[str, Any]
) -> None:
    now = datetime.now(ZoneInfo(arguments["timezone"]))
    closed = f"{now + timedelta(hours=5):%H:%M}-{now + timedelta(hours=6):%H:%M}"
    client.schedules.add("always", **arguments)
    client.schedules.add("nights", **arguments, window=closed, overlap="queue")
    client.schedules.pause("always")
    before = {one.spec.name: one for one in client.schedules.all()}
    fire_now(client, entries, book, "nights")
    (batch,) = client.connection.ledger.batches()

    redis = client.connection.redis
    for key in redis.scan_iter(f"{Keys(client.deployment.namespace).shared('')}*"):
        redis.delete(key)
    assert client.schedules.all() == []
    client.connection.store.put(layout.schedule_key("broken"), b"{}", content_type="application/json")
    recovery = client.recover()

    assert set(recovery.schedules) == {"always", "nights"}
    assert [problem for problem in recovery.problems if "broken" in problem]
    assert {one.spec.name: one.spec for one in client.schedules.all()} == {
        name: one.spec for name, one in before.items()
    }
    assert book.state("nights").open_batches == (batch,)
    assert client.status(batch).state is BatchState.PAUSED
    later = now + timedelta(hours=1)
    book.write_down(Fire(schedule="nights", fired_at=later, noticed_at=later))
    Runner(client, entries, book).turn()
    assert batch in client.schedules.get("nights").waiting[0].note
    assert client.recover().schedules == ()
