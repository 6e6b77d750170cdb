"""Nights of one schedule: time is moved and not waited for; all else is real, but for the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hands import fail, finish
from impasto.producer import Client
from impasto.producer.collect import Collector
from impasto.producer.nights import NightOutcome, NightSummary, finish_nights, run_night
from impasto.producer.nights import finish as finishing
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.producer.sources import Candidate
from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import NothingToSubmit
from impasto.shared.metadata import OutputMetadata
from s3_server import S3Server
from stage import picture, png
from workers import NOOP_WORKER, WorkerProcess, eventually


def night_of(day: int) -> datetime:
    return datetime(2026, 6, day, 2, 0, tzinfo=UTC)


def schedule_of(photos: Path | str, paintings: Path, **fields: Any) -> ScheduleSpec:
    return ScheduleSpec.make(
        **{
            "name": "album",
            "cron": "0 2 * * *",
            "timezone": "UTC",
            "contents": (str(photos),),
            "styles": (str(paintings),),
            "preset": "tutorial",
            "settings": {"size_px": 32, "steps": 2},
            "created_at": night_of(1),
            **fields,
        }
    )


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path) -> Iterator[WorkerProcess]:
    again = {"IMPASTO_REUSE_RESULTS": "true"}
    with WorkerProcess(environment, tmp_path / "worker.log", again, NOOP_WORKER) as worker:
        yield worker.ready()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each input is opened."""
    reads: Counter[str] = Counter()
    read = Collector._read

    def counted(collector: Collector, candidate: Candidate, *rest: Any) -> Any:
        reads[Path(candidate.name).name] += 1
        return read(collector, candidate, *rest)

    monkeypatch.setattr(Collector, "_read", counted)
    return reads


def summary(client: Client, key: str) -> NightSummary:
    return NightSummary.model_validate_json(client.connection.store.get(key))


def told(client: Client, day: int) -> NightSummary:
    """The night's summary, once its batch is over."""
    key = layout.night_key("album", night_of(day))

    def is_told() -> bool:
        finish_nights(client)
        return client.connection.store.head(key) is not None

    eventually(is_told, what=f"the summary of night {day}")
    found = summary(client, key)
    assert summary(client, layout.latest_night_key("album")) == found
    assert list(client.connection.store.list(layout.OPEN_NIGHTS)) == []
    return found


def made(client: Client, outcome: NightOutcome) -> set[tuple[str, str]]:
    """The batch's pairs by their inputs' names; each has an output of its own."""
    assert outcome.batch is not None
    jobs = [client.pair(outcome.batch, pair) for pair in range(outcome.pairs)]
    assert len({job.output_stem for job in jobs}) == len(jobs)
    for job in jobs:
        assert job.output_stem == f"{job.content.slug}__{job.style.slug}"
    return {(Path(job.content.name).name, Path(job.style.name).name) for job in jobs}


def test_three_nights_do_only_what_is_new(
    client: Client, photos: Path, paintings: Path, worker: WorkerProcess, reads: Counter[str]
) -> None:
    schedule = schedule_of(photos, paintings)
    first = run_night(client, schedule, fired_at=night_of(1))
    assert (first.pairs, first.known) == (6, 0)
    assert run_night(client, schedule, fired_at=night_of(1)) == first
    end = told(client, 1)
    assert (end.outcome, end.done, end.reused, end.contents, end.styles) == ("done", 6, 0, 3, 2)
    assert end.gallery_key is not None
    assert client.connection.store.head(end.gallery_key) is not None
    assert all(client.connection.store.head(key) for key in end.report_keys)
    assert run_night(client, schedule, fired_at=night_of(1)).batch == first.batch
    assert sum(reads.values()) == 5

    reads.clear()
    for number in (8, 9):
        (photos / f"new {number}.png").write_bytes(png(picture(number)))
    (photos / "photo 0.png").rename(photos / "moved.png")
    (photos / "photo 1.png").write_bytes(png(picture(50)))
    (photos / "photo 2.png").unlink()
    second = run_night(client, schedule, fired_at=night_of(2))
    assert made(client, second) == {
        (photo, painting)
        for photo in ("new 8.png", "new 9.png", "photo 1.png")
        for painting in ("painting 0.png", "painting 1.png")
    }
    assert (second.pairs, second.known) == (6, 2)
    assert set(reads) == {"new 8.png", "new 9.png", "moved.png", "photo 1.png"}
    assert (told(client, 2).done, told(client, 2).known) == (6, 2)

    reads.clear()
    batches = len(client.batches())
    third = run_night(client, schedule, fired_at=night_of(3))
    assert third.batch is None
    assert third.message == "nothing new among 8 pairs (8 are done)"
    assert len(client.batches()) == batches
    assert reads == {}
    end = told(client, 3)
    assert (end.outcome, end.message, end.known) == ("nothing_new", third.message, 8)

    # A picture that comes back, unlike one that is new, was made in the first night.
    (photos / "again.png").write_bytes(png(picture(2)))
    (paintings / "painting 2.png").write_bytes(png(picture(12)))
    fourth = run_night(client, schedule, fired_at=night_of(4))
    assert (fourth.pairs, fourth.known) == (5, 10)
    assert {style for _, style in made(client, fourth)} == {"painting 2.png"}
    assert told(client, 4).done == 5

    # With new ones on both sides the pairs are no whole matrix.
    (photos / "new 10.png").write_bytes(png(picture(10)))
    (paintings / "painting 3.png").write_bytes(png(picture(13)))
    mixed = run_night(client, schedule, fired_at=night_of(5))
    assert (mixed.pairs, mixed.known) == (9, 15)
    assert {pair for pair in made(client, mixed) if pair[0] != "new 10.png"} == {
        (photo, "painting 3.png")
        for photo in ("again.png", "moved.png", "new 8.png", "new 9.png", "photo 1.png")
    }
    assert told(client, 5).done == 9
    redis = client.connection.redis
    for key in redis.scan_iter(f"{{{client.deployment.namespace}}}:*"):
        redis.delete(key)
    assert {one.done for one in client.recover([str(mixed.batch)]).recovered} == {9}

    other = schedule_of(photos, paintings, settings={"size_px": 32, "steps": 3})
    sixth = run_night(client, other, fired_at=night_of(6))
    assert (sixth.pairs, sixth.known) == (24, 0)
    assert told(client, 6).done == 24
    assert run_night(client, schedule, fired_at=night_of(7)).known == 24


def test_a_result_that_lies_in_the_store_is_copied_and_tells_from_where(
    client: Client, photos: Path, paintings: Path, worker: WorkerProcess
) -> None:
    settings = {"size_px": 32, "steps": 2}
    store = client.connection.store
    earlier = client.submit(photos, paintings, preset="tutorial", settings=settings).batch
    assert earlier is not None
    assert client.wait(earlier, 60).done == 6
    (photos / "photo 0.png").rename(photos / "a new name.png")
    run_night(client, schedule_of(photos, paintings), fired_at=night_of(1))
    end = told(client, 1)
    assert (end.outcome, end.done, end.reused) == ("done", 6, 6)
    assert end.batch is not None
    status = client.status(end.batch)
    assert (status.busy_seconds, status.eta_seconds) == (0.0, 0.0)

    key = layout.metadata_key(end.batch, "a_new_name__painting_1")
    copied = OutputMetadata.model_validate_json(store.get(key))
    assert copied.reused_from == layout.metadata_key(earlier, "photo_0__painting_1")
    was = OutputMetadata.model_validate_json(store.get(copied.reused_from))
    assert was.reused_from is None
    assert copied.content.name.endswith("a new name.png")
    assert (copied.batch, copied.fingerprint) == (end.batch, was.fingerprint)
    assert (copied.losses, copied.worker, copied.finished_at) == (was.losses, was.worker, was.finished_at)
    found = store.head(copied.picture_key)
    assert found is not None
    assert found.metadata["fingerprint"] == copied.fingerprint

    # Neither batch needs the other, and the newest copy is what is known of the result.
    client.purge([earlier], outputs=True)
    assert store.head(copied.picture_key) == found
    # A pointer that leads into the purged one misleads nobody.
    stale = layout.result_key(copied.fingerprint)
    store.put(
        stale,
        (f'{{"picture_key": "{was.picture_key}", "metadata_key": "{copied.reused_from}"}}').encode(),
        content_type="application/json",
    )
    once_more = client.submit(photos, paintings, preset="tutorial", settings=settings).batch
    assert once_more is not None
    assert client.wait(once_more, 60).done == 6
    anew, again = (layout.metadata_key(once_more, f"a_new_name__painting_{painting}") for painting in (1, 0))
    assert OutputMetadata.model_validate_json(store.get(anew)).reused_from is None
    assert anew.encode() in store.get(stale)
    a_copy = layout.metadata_key(end.batch, "a_new_name__painting_0")
    copied_again = OutputMetadata.model_validate_json(store.get(again))
    assert copied_again.reused_from == a_copy

    # Nor is the copy forgotten that was there before the one that goes.
    client.purge([once_more], outputs=True)
    assert a_copy.encode() in store.get(layout.result_key(copied_again.fingerprint))
    assert store.head(stale) is None


def test_what_failed_is_tried_again_and_what_is_no_picture_is_not(
    client: Client, photos: Path, paintings: Path, reads: Counter[str]
) -> None:
    (photos / "torn.png").write_bytes(png(picture(1))[:80])
    schedule = schedule_of(photos, paintings, overlap="allow")
    first = run_night(client, schedule, fired_at=night_of(1))
    assert (first.pairs, first.rejected) == (6, 1)
    assert first.message == "6 new pairs of 6; 1 input was rejected"
    assert first.batch is not None
    for pair in (0, 1, 4, 5):
        finish(client, first.batch, pair)
    fail(client, first.batch, 3)

    # Beside a night that is not over, its pairs are left to it, but for what failed.
    reads.clear()
    second = run_night(client, schedule, fired_at=night_of(2))
    assert reads == {}
    assert (second.pairs, second.under_way, second.rejected) == (1, 5, 1)
    assert made(client, second) == {("photo 1.png", "painting 1.png")}

    finish(client, first.batch, 2)
    connection = client.connection
    finishing.write_report(first.batch, connection.ledger, connection.batches)
    finish_nights(client)
    end = summary(client, layout.night_key("album", night_of(1)))
    # No hand put a picture there, so nothing is known of a result.
    assert (end.outcome, end.done, end.failed) == ("failed", 5, 1)
    assert [one.error for one in end.failures] == ["it is damaged"]
    assert end.rejected_inputs[0].input.endswith("torn.png")
    third = run_night(client, schedule, fired_at=night_of(3))
    assert (third.pairs, third.under_way) == (5, 1)
    assert third.batch is not None
    spec = connection.batches.spec(third.batch)
    assert (spec.pairs, spec.contents, spec.styles) == ("zip", 5, 5)
    assert reads == {}


def test_a_night_without_contents_says_so_and_one_without_styles_is_refused(
    client: Client, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    quiet = run_night(client, schedule_of(tmp_path / "inbox", paintings), fired_at=night_of(1))
    assert quiet.batch is None
    assert quiet.message == "nothing new: there is no content; 1 input was rejected"
    (reason,) = told(client, 1).rejected_inputs
    assert reason.error == "the folder holds no picture"
    with pytest.raises(NothingToSubmit, match="no style is left"):
        run_night(client, schedule_of(photos, tmp_path / "inbox"), fired_at=night_of(2))
    assert client.batches() == []


def test_a_photograph_that_changes_while_it_is_uploaded_anew_is_read_by_the_next_night(
    client: Client, photos: Path, paintings: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, store = schedule_of(photos, paintings), client.connection.store
    first = run_night(client, schedule, fired_at=night_of(1)).batch
    assert first is not None
    client.cancel(first)
    for info in list(store.list(layout.INPUTS)):
        store.delete(info.key)
    read = Collector._read

    def changed_after(collector: Collector, candidate: Candidate, *rest: Any) -> Any:
        answer = read(collector, candidate, *rest)
        if Path(candidate.name).name == "photo 0.png":
            (photos / "photo 0.png").write_bytes(png(picture(70)))
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Collector, "_read", changed_after)
        assert run_night(client, schedule, fired_at=night_of(2)).pairs == 6
    reads.clear()
    third = run_night(client, schedule, fired_at=night_of(3))
    assert set(reads) == {"photo 0.png"}
    assert (third.pairs, third.under_way) == (2, 4)


def test_an_index_whose_chunks_are_gone_costs_reading_again_and_no_night(
    client: Client, photos: Path, paintings: Path, reads: Counter[str]
) -> None:
    schedule, store = schedule_of(photos, paintings), client.connection.store
    run_night(client, schedule, fired_at=night_of(1))
    for info in list(store.list(layout.index_chunks_prefix("album"))):
        store.delete(info.key)
    reads.clear()
    assert run_night(client, schedule, fired_at=night_of(2)).under_way == 6
    assert sum(reads.values()) == 5
    reads.clear()
    assert run_night(client, schedule, fired_at=night_of(3)).under_way == 6
    assert reads == {}


def test_a_night_whose_report_nobody_can_read_keeps_no_other_from_being_told(
    client: Client, photos: Path, paintings: Path
) -> None:
    connection = client.connection
    for day, name in ((1, "broken"), (2, "album")):
        batch = run_night(client, schedule_of(photos, paintings, name=name), fired_at=night_of(day)).batch
        assert batch is not None
        client.cancel(batch)
        finishing.write_report(batch, connection.ledger, connection.batches)
        if name == "broken":
            connection.store.put(layout.report_key(batch, "csv"), b"a\n1\n", content_type="text/csv")
    finish_nights(client)
    assert summary(client, layout.night_key("album", night_of(2))).outcome == "cancelled"
    assert [info.key for info in connection.store.list(layout.OPEN_NIGHTS)] == [
        layout.open_night_key("broken", night_of(1))
    ]


_PLAN = """
import sys
from datetime import datetime
from impasto.producer import Client
from impasto.producer.nights import run, run_night
from impasto.producer.schedules.spec import ScheduleSpec

def stop(*_, **__):
    print("planned", flush=True)
    sys.stdin.read()

setattr(run, sys.argv[3], stop)
schedule = ScheduleSpec.model_validate_json(sys.argv[1])
run_night(Client(), schedule, fired_at=datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.parametrize("step", ["make_spec", "open_batch"])
def test_a_night_that_is_killed_half_way_and_repeated_is_one_batch(
    client: Client, environment: dict[str, str], photos: Path, paintings: Path, step: str
) -> None:
    schedule = schedule_of(photos, paintings)
    words = [sys.executable, "-c", _PLAN, schedule.model_dump_json(), night_of(1).isoformat(), step]
    process = subprocess.Popen(
        words, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"planned\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert client.batches() == []
    if step == "open_batch":
        # Nobody need repeat it: whoever looks after the nights goes on.
        finish_nights(client)
        assert len(client.batches()) == 1
    outcomes = [run_night(client, schedule, fired_at=night_of(1)) for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    (batch,) = client.batches()
    assert (batch.batch, batch.total) == (outcomes[0].batch, 6)
    specs = [info.key for info in client.connection.store.list(layout.BATCHES) if "batch.json" in info.key]
    assert specs == [layout.spec_key(batch.batch)]


def test_a_summary_comes_even_where_no_gallery_can_be_made_and_where_its_teller_was_killed(
    client: Client, photos: Path, paintings: Path, worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no room")

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    run_night(client, schedule_of(photos, paintings), fired_at=night_of(1))
    monkeypatch.setattr(finishing, "build_gallery", broken)
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "add_to_outbox", killed)
        for _ in range(200):
            try:
                finish_nights(client)
            except Killed:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the night was never told of")
    assert len(list(client.connection.store.list(layout.OPEN_NIGHTS))) == 1
    end = told(client, 1)
    assert (end.outcome, end.done, end.gallery_key) == ("done", 6, None)
    assert run_night(client, schedule_of(photos, paintings), fired_at=night_of(2)).known == 6


def test_objects_are_opened_once_and_again_when_their_tag_is_another(
    environment: dict[str, str], s3_server: S3Server, namespace: str, paintings: Path, reads: Counter[str]
) -> None:
    variables = environment | s3_server.environment | {"IMPASTO_STORE_URL": f"s3://impasto/{namespace}"}
    names: dict[str, Any] = {k.removeprefix("IMPASTO_").lower(): v for k, v in variables.items()}
    photos = s3_server.access().client()

    def put(name: str, seed: int) -> None:
        photos.put_object(Bucket="impasto", Key=f"in-{namespace}/{name}", Body=png(picture(seed)))

    with Client(Deployment.load(_env_file=None, **names)) as client:
        schedule = schedule_of(f"s3://impasto/in-{namespace}", paintings)
        for number in range(2):
            put(f"{number}.png", number)
        assert run_night(client, schedule, fired_at=night_of(1)).pairs == 4
        reads.clear()
        second = run_night(client, schedule, fired_at=night_of(2))
        assert (second.batch, second.under_way) == (None, 4)
        assert second.message == "nothing new among 4 pairs (4 are under way)"
        assert reads == {}
        put("1.png", 1)
        put("2.png", 2)
        third = run_night(client, schedule, fired_at=night_of(3))
        assert set(reads) == {"2.png"}
        assert made(client, third) == {("2.png", f"painting {n}.png") for n in range(2)}
