from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hands import fail, finish, lease
from impasto.producer import BatchState, Client, StyleSettings, SubmissionRefused
from impasto.producer.local.runfile import Running, write_running
from impasto.shared.celery_app import queue_keys
from impasto.shared.deployment import Deployment
from impasto.shared.errors import (
    BadSettings,
    LedgerUnavailable,
    NoSuchBatch,
    NotRunning,
    StoreRefused,
    TimedOut,
)
from impasto.shared.jobs import PairJob
from impasto.shared.ledger import EventType
from impasto.shared.store.folder import FolderStore


def store_keys(client: Client) -> list[str]:
    return [info.key for info in client.connection.store.list("")]


def queued(client: Client) -> int:
    connection = client.connection
    return sum(connection.redis.llen(key) for key in queue_keys(connection.deployment))  # type: ignore[misc]


def submitted(client: Client, photos: Path, paintings: Path, **options: Any) -> str:
    batch = client.submit(photos, paintings, **options).batch
    assert batch is not None
    return batch


def test_a_submission_is_a_matrix_in_the_store_in_the_ledger_and_on_the_queue(
    client: Client, photos: Path, paintings: Path
) -> None:
    submission = client.submit([photos], [paintings], name="June & July", priority=3, settings={"seed": 9})
    assert submission.batch is not None
    assert submission.batch.startswith("june-july-")
    assert (submission.pairs, submission.contents, submission.styles) == (6, 3, 2)
    assert (submission.created, submission.rejected) == (True, ())
    status = client.status(submission.batch)
    assert (status.total, status.name, status.priority, status.state) == (
        6,
        "June & July",
        3,
        BatchState.ACTIVE,
    )
    jobs = [client.pair(submission.batch, pair) for pair in range(6)]
    assert [job.output_stem for job in jobs] == [
        f"photo_{content}__painting_{style}" for content in range(3) for style in range(2)
    ]
    assert {job.settings for job in jobs} == {StyleSettings.preset("gallery", seed=9)}
    assert all(PairJob.from_wire(job.to_wire()) == job for job in jobs)
    assert queued(client) == client.deployment.window


def test_zip_pairs_the_first_with_the_first_and_a_bad_one_takes_its_partner_along(
    client: Client, photos: Path, paintings: Path
) -> None:
    (paintings / "painting 2.png").write_bytes(b"")
    batch = submitted(client, photos, paintings, pairs="zip")
    assert [client.pair(batch, pair).output_stem for pair in range(client.status(batch).total)] == [
        "photo_0__painting_0",
        "photo_1__painting_1",
    ]


def test_zip_pairs_nothing_wrongly_when_each_list_lacks_something(
    client: Client, photos: Path, paintings: Path
) -> None:
    contents = [photos / "photo 0.png", photos / "nowhere.png", photos / "photo 2.png"]
    styles = [paintings / "painting 0.png", paintings / "painting 1.png", paintings / "nowhere.png"]
    submission = client.submit(contents, styles, pairs="zip")
    assert submission.pairs == 1
    assert client.pair(str(submission.batch), 0).output_stem == "photo_0__painting_0"
    assert len(submission.rejected) == 2

    # How many photographs a folder holds that is not there nobody knows.
    for sources in (
        [photos / "photo 0.png", paintings / "none"],
        [f"{photos}/*.tiff", photos / "photo 0.png"],
    ):
        with pytest.raises(SubmissionRefused, match="not known how many pictures"):
            client.submit(sources, styles[:2], pairs="zip")


def test_zip_of_unequal_lists_is_refused(client: Client, photos: Path, paintings: Path) -> None:
    with pytest.raises(SubmissionRefused, match="3 contents and 2 styles"):
        client.submit(photos, paintings, pairs="zip")
    assert client.batches() == []


def test_a_bad_input_is_named_and_the_rest_goes_on(client: Client, photos: Path, paintings: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    submission = client.submit([photos, "nowhere"], paintings)
    assert [(Path(one.input).name, bool(one.error)) for one in submission.rejected] == [
        ("nowhere", True),
        ("broken.jpg", True),
    ]
    assert submission.pairs == 6


def test_strict_refuses_the_lot_and_names_all(client: Client, photos: Path, paintings: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "empty.jpg").write_bytes(b"")
    with pytest.raises(SubmissionRefused) as refused:
        client.submit(photos, paintings, strict=True)
    assert [Path(one.input).name for one in refused.value.rejected] == ["broken.jpg", "empty.jpg"]
    assert client.batches() == []
    assert not any(key.startswith("batches/") for key in store_keys(client))


@pytest.mark.parametrize("empty", ["contents", "styles"])
def test_nothing_is_submitted_when_a_list_is_empty(
    client: Client, photos: Path, paintings: Path, empty: str
) -> None:
    sources = {"contents": photos, "styles": paintings, empty: photos.parent / "nowhere"}
    with pytest.raises(SubmissionRefused, match=f"no {empty[:-1]} is left"):
        client.submit(**sources)
    assert (client.batches(), store_keys(client)) == ([], [])


def test_a_dry_run_needs_no_server_and_leaves_only_what_it_knows_of_files(
    tmp_path: Path, photos: Path, paintings: Path
) -> None:
    with Client(Deployment(state=tmp_path / "none")) as client:
        submission = client.submit(photos, paintings, dry_run=True)
        assert (submission.batch, submission.pairs) == (None, 6)
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["cache"]


def test_the_same_token_is_the_same_batch_and_nothing_is_read_again(
    client: Client, photos: Path, paintings: Path
) -> None:
    first = client.submit(photos, paintings, token="night of the 3rd")
    for path in photos.iterdir():
        path.write_bytes(b"")
    again = client.submit(photos, paintings, token="night of the 3rd")
    assert (again.batch, again.pairs, again.created) == (first.batch, 6, False)
    assert len(client.batches()) == 1


def test_of_many_submissions_with_one_token_at_once_one_makes_the_batch(
    deployment: Deployment, client: Client, photos: Path, paintings: Path
) -> None:
    answers: list[tuple[str | None, bool]] = []

    def submit() -> None:
        with Client(deployment) as mine:
            submission = mine.submit(photos, paintings, token="once")
            answers.append((submission.batch, submission.created))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [created for _, created in answers].count(True) == 1
    assert {batch for batch, _ in answers} == {status.batch for status in client.batches()}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"redis_url": "redis://127.0.0.1:1/0"}, LedgerUnavailable),
        ({"redis_url": "no address"}, BadSettings),
        ({"redis_url": None}, NotRunning),
        ({"store_url": "file:///proc/no/such/place"}, Exception),
        ({"store_url": "s3:/nonsense"}, BadSettings),
    ],
)
def test_nothing_is_uploaded_or_opened_when_redis_or_store_is_missing(
    deployment: Deployment,
    client: Client,
    photos: Path,
    paintings: Path,
    change: dict[str, str | None],
    error: type[Exception],
) -> None:
    read: list[object] = []
    with Client(deployment.model_copy(update=change)) as broken, pytest.raises(error) as raised:
        broken.submit(photos, paintings, on_progress=read.append)
    assert "\n" not in str(raised.value)
    assert (read, client.batches(), store_keys(client)) == ([], [], [])


def test_a_submission_stands_when_the_queue_takes_no_message(
    client: Client, photos: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(batch: str) -> None:
        raise LedgerUnavailable("the queue takes no messages")

    monkeypatch.setattr(client.connection.dispatcher, "advance", refuse)
    assert client.status(submitted(client, photos, paintings)).total == 6


def test_a_batch_that_could_not_be_written_whole_is_not_visible(
    client: Client, photos: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FolderStore.put

    def fail_at_spec(self: FolderStore, key: str, *args: Any, **options: Any) -> None:
        if key.endswith("batch.json"):
            raise StoreRefused("the disk is full")
        put(self, key, *args, **options)

    monkeypatch.setattr(FolderStore, "put", fail_at_spec)
    with pytest.raises(StoreRefused):
        client.submit(photos, paintings)
    assert client.batches() == []


def test_a_batch_is_found_by_its_beginning_by_latest_and_by_nothing_ambiguous(
    client: Client, photos: Path, paintings: Path
) -> None:
    with pytest.raises(NoSuchBatch, match="no batch yet"):
        client.find("latest")
    june = submitted(client, photos, paintings, name="june")
    july = submitted(client, photos, paintings, name="july")
    assert (client.find("june"), client.find(july), client.find("latest")) == (june, july, july)
    with pytest.raises(NoSuchBatch, match="2 batches begin with 'ju'"):
        client.find("ju")
    for unknown in ("august", "", "*"):
        with pytest.raises(NoSuchBatch, match="impasto status"):
            client.find(unknown)


def test_watching_tells_each_event_once_and_ends_with_the_batch(
    client: Client, photos: Path, paintings: Path
) -> None:
    batch = submitted(client, photos, paintings)
    finish(client, batch, 0)
    lease(client, batch, 1)
    updates = client.watch(batch, every_seconds=0.05)
    first = next(updates)
    assert (first.status.done, [pair.progress["step"] for pair in first.running]) == (1, [5])
    for pair in (1, 2, 3, 4):
        finish(client, batch, pair)
    fail(client, batch, 5)
    rest = list(updates)
    assert (rest[-1].is_last, [update.is_last for update in rest[:-1]]) == (True, [False] * (len(rest) - 1))
    assert (rest[-1].status.done, rest[-1].status.failed) == (5, 1)
    events = [event for update in (first, *rest) for event in update.events]
    assert len({event.id for event in events}) == len(events)
    assert [event.type for event in events].count(EventType.PAIR_DONE) == 5
    assert events[-1].type is EventType.BATCH_FINISHED


def test_waiting_ends_with_the_batch_or_with_the_time(client: Client, photos: Path, paintings: Path) -> None:
    batch = submitted(client, photos, paintings)
    with pytest.raises(TimedOut, match="0 of 6 pairs"):
        client.wait(batch, 0.0)
    client.cancel(batch)
    assert client.wait(batch).state is BatchState.CANCELLED


def test_pausing_and_cancelling_can_be_repeated_and_a_cancelled_batch_does_not_come_back(
    client: Client, photos: Path, paintings: Path
) -> None:
    batch = submitted(client, photos, paintings)
    assert [client.pause(batch).state for _ in range(2)] == [BatchState.PAUSED] * 2
    assert [client.resume(batch).state for _ in range(2)] == [BatchState.ACTIVE] * 2
    assert [client.cancel(batch).cancelled for _ in range(2)] == [6, 6]
    with pytest.raises(BadSettings, match="submit it anew"):
        client.resume(batch)


def test_failures_carry_the_names_that_people_know(client: Client, photos: Path, paintings: Path) -> None:
    batch = submitted(client, photos, paintings)
    for pair in (3, 1):
        fail(client, batch, pair)
    assert [(one.pair, one.content, one.style) for one in client.failures(batch)] == [
        (1, f"{photos}/photo 0.png", f"{paintings}/painting 1.png"),
        (3, f"{photos}/photo 1.png", f"{paintings}/painting 1.png"),
    ]


def test_a_pair_that_killed_its_workers_is_named_all_the_same(
    client: Client, photos: Path, paintings: Path
) -> None:
    batch = submitted(client, photos, paintings)
    ledger = client.connection.ledger
    ledger.lease(batch, 2, worker="doomed", lease_id="last", ttl_seconds=0.001)
    # Leases that ran out are left alone until sweeps have followed each other for a while.
    for _ in range(400):
        swept = ledger.sweep(
            every_seconds=0.1, republish_seconds=600, broker_is_empty=False, max_deaths=1, min_window=4
        )
        if swept.failed:
            break
        time.sleep(0.01)
    (failure,) = client.failures(batch)
    assert (failure.kind, failure.content, failure.style) == (
        "poison_pair",
        f"{photos}/photo 1.png",
        f"{paintings}/painting 0.png",
    )


def test_another_store_than_that_of_the_workers_here_is_refused(
    deployment: Deployment, photos: Path, paintings: Path
) -> None:
    assert deployment.redis_url is not None
    elsewhere = Running.this_process(deployment.redis_url, "file:///somewhere/else")
    write_running(deployment.state, elsewhere)
    with Client(deployment) as client, pytest.raises(BadSettings, match="file:///somewhere/else"):
        client.submit(photos, paintings)


def test_without_addresses_the_impasto_that_runs_here_is_found(
    deployment: Deployment, client: Client, photos: Path, paintings: Path
) -> None:
    assert deployment.redis_url is not None
    assert deployment.store_url is not None
    write_running(deployment.state, Running.this_process(deployment.redis_url, deployment.store_url))
    with Client(deployment.model_copy(update={"redis_url": None, "store_url": None})) as local:
        batch = submitted(local, photos, paintings)
    assert client.status(batch).total == 6


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 10},
        {"priority": -1},
        {"pairs": "cross"},
        {"token": ""},
        {"name": "a\nb"},
        {"name": "x" * 201},
    ],
)
def test_options_that_make_no_sense_are_refused(
    client: Client, photos: Path, paintings: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(BadSettings):
        client.submit(photos, paintings, **options)
    assert client.batches() == []
