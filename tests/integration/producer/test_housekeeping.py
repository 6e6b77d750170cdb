"""What people do to batches after the night: retry, prioritise, purge, recover, read dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import results
from commands import Impasto
from hands import fail, finish, lease
from impasto.producer import BatchState, Client
from impasto.producer.cli import main
from impasto.producer.recover import recover
from impasto.shared import layout
from impasto.shared.celery_app import queue_keys
from impasto.shared.errors import BadSettings, LedgerUnavailable, NoSuchBatch
from impasto.shared.jobs import fingerprint
from impasto.shared.metadata import ResultPointer
from impasto.shared.reports import write_report
from impasto.shared.store import ObjectInfo
from stage import picture, png


@pytest.fixture
def batch(client: Client, photos: Path, paintings: Path) -> str:
    """Three photographs, two paintings."""
    batch = client.submit(photos, paintings, name="June").batch
    assert batch is not None
    return batch


def put_result(client: Client, batch: str, pair: int, **overrides: Any) -> str:
    """A result as a worker leaves it; its fingerprint."""
    store, job = client.connection.store, client.pair(batch, pair)
    assert job.content.sha256 is not None
    assert job.style.sha256 is not None
    made = fingerprint(job.content.sha256, job.style.sha256, job.settings)
    fields = {"pair": pair, "fingerprint": made, **overrides}
    results.put_result(store, batch, job.output_stem, b"pixels", **fields)
    pointer = ResultPointer(
        picture_key=layout.picture_key(batch, job.output_stem, "png"),
        metadata_key=layout.metadata_key(batch, job.output_stem),
    )
    body = pointer.model_dump_json().encode()
    store.put(layout.result_key(made), body, content_type="application/json")
    return made


def over(client: Client, batch: str, *failed: int) -> None:
    """Every pair is settled, these have failed."""
    for pair in range(client.status(batch).total):
        if pair in failed:
            fail(client, batch, pair)
        else:
            finish(client, batch, pair)


def keys(client: Client, prefix: str) -> set[str]:
    return {info.key for info in client.connection.store.list(prefix)}


def empty_the_ledger(client: Client) -> None:
    redis = client.connection.redis
    for key in redis.scan_iter(f"{{{client.deployment.namespace}}}:*"):
        redis.delete(key)


def once(call: Callable[..., Any], calls: int = 1) -> Callable[..., Any]:
    """The call, so many times; then Redis is gone."""
    left = iter(range(calls))

    def answer(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise LedgerUnavailable("Redis is gone")
        return call(*args, **options)

    return answer


def test_what_failed_is_tried_again_in_the_same_batch_and_reported_again(
    client: Client, impasto: Impasto, batch: str
) -> None:
    over(client, batch, 1, 4)
    connection = client.connection
    write_report(batch, connection.ledger, connection.batches)
    answer = impasto("retry", "latest", "--pairs", "4-5, 0")
    assert (answer["batch"], answer["retried"], answer["state"]) == (batch, 1, "active")
    assert answer["counts"]["failed"] == 1
    assert client.retry(batch) == 1
    assert client.retry(batch) == 0
    for pair in (1, 4):
        finish(client, batch, pair)
    assert client.status(batch).state is BatchState.DONE
    assert write_report(batch, connection.ledger, connection.batches).state == "done"


def test_what_is_retried_goes_on_after_a_recovery_whatever_its_old_report_says(
    client: Client, batch: str, tmp_path: Path
) -> None:
    connection = client.connection
    for pair in (0, 2, 3, 4, 5):
        put_result(client, batch, pair)
    over(client, batch, 1)
    write_report(batch, connection.ledger, connection.batches)
    assert client.retry(batch, [0]) == 0
    empty_the_ledger(client)
    assert [one.state for one in client.recover().recovered] == [BatchState.FAILED]
    assert client.retry(batch) == 1
    client.fetch(batch, tmp_path / "fetched" / "running")
    empty_the_ledger(client)
    # Nor is it past its retention, which begins at its end.
    briefly = connection.deployment.model_copy(update={"retention_days": 1e-9})
    (one,) = recover(replace(connection, deployment=briefly)).recovered
    assert (one.done, one.state) == (5, BatchState.ACTIVE)
    connection.ledger.advance(batch, min_window=9)
    fail(client, batch, 1)
    write_report(batch, connection.ledger, connection.batches)
    client.fetch(batch, tmp_path / "fetched" / "over")
    empty_the_ledger(client)
    assert [one.state for one in client.recover().recovered] == [BatchState.FAILED]
    fetched = tmp_path / "fetched"
    assert list(fetched.rglob("report.json")) == [fetched / "over" / "report.json"]


def test_a_retry_puts_messages_on_the_queue_at_once(client: Client, batch: str) -> None:
    over(client, batch, 2)
    connection = client.connection
    connection.redis.delete(*queue_keys(connection.deployment))
    client.retry(batch)
    assert not connection.dispatcher.broker_is_empty()


def test_a_cancelled_batch_is_not_retried_and_says_so(client: Client, batch: str) -> None:
    fail(client, batch, 0)
    client.cancel(batch)
    with pytest.raises(BadSettings, match=f"batch {batch} was cancelled: submit it anew"):
        client.retry(batch)


@pytest.mark.parametrize("pairs", ["", "3-", "7-3", "0-9999999", "all"])
def test_pairs_that_are_no_pairs_are_a_usage_error(
    impasto: Impasto, capsys: pytest.CaptureFixture[str], pairs: str
) -> None:
    assert main(["retry", "latest", "--pairs", pairs]) == 2
    assert capsys.readouterr().err.startswith("impasto: ")


def test_messages_go_out_at_the_priority_that_the_batch_has_now(
    client: Client, impasto: Impasto, batch: str
) -> None:
    connection = client.connection
    lists = queue_keys(connection.deployment)

    def waiting() -> list[int]:
        return [connection.redis.llen(key) for key in lists]  # type: ignore[misc]

    before = waiting()
    assert impasto("priority", "latest", 0)["priority"] == 0
    swept = connection.ledger.sweep(
        every_seconds=0.001, republish_seconds=600, broker_is_empty=False, max_deaths=3, min_window=4
    )
    connection.dispatcher.publish(swept.publish)
    assert len(swept.publish) == client.deployment.window
    assert waiting()[0] == before[0] + client.deployment.window
    assert waiting()[1:] == before[1:]


def test_purging_forgets_a_batch_and_leaves_its_pictures(
    client: Client, impasto: Impasto, batch: str
) -> None:
    made = put_result(client, batch, 0)
    over(client, batch)
    stored = keys(client, "")
    answer = impasto("purge", batch, "--yes")
    assert answer["purged"] == [{"batch": batch, "name": "June", "objects": 0, "bytes": 0}]
    assert client.batches() == []
    assert keys(client, "") - stored == {layout.purged_key(batch)}
    assert layout.result_key(made) in stored
    assert impasto("recover")["passed_over"] == [batch]
    assert [one.batch for one in client.recover([batch[:8]]).recovered] == [batch]
    assert keys(client, "") == stored


def test_purging_with_outputs_leaves_inputs_and_what_other_batches_made(
    client: Client, impasto: Impasto, batch: str, photos: Path, paintings: Path
) -> None:
    inputs = keys(client, layout.INPUTS)
    other = client.submit(photos, paintings, settings={"seed": 1}).batch
    assert other is not None
    mine, theirs = put_result(client, batch, 0), put_result(client, other, 0)
    shared = put_result(client, batch, 1)
    # The same result, made once more by the other batch since.
    put_result(client, other, 1, fingerprint=shared)
    pointer = ResultPointer(
        picture_key=f"{layout.outputs_prefix(other)}x.png",
        metadata_key=f"{layout.outputs_prefix(other)}x.json",
    )
    body = pointer.model_dump_json().encode()
    client.connection.store.put(layout.result_key(shared), body, content_type="application/json")
    over(client, batch)

    would = impasto("purge", batch, "--outputs", "--dry-run")
    assert (would["dry_run"], would["purged"][0]["objects"]) == (True, 7)
    assert keys(client, layout.outputs_prefix(batch))
    assert impasto("purge", batch, "--outputs", "--yes")["purged"] == would["purged"]

    assert keys(client, layout.outputs_prefix(batch)) | keys(client, layout.batch_prefix(batch)) == set()
    assert keys(client, layout.INPUTS) == inputs
    left = {layout.result_key(theirs), layout.result_key(shared)}
    assert keys(client, "results/") & {layout.result_key(mine), *left} == left
    assert len(keys(client, layout.outputs_prefix(other))) == 4
    with pytest.raises(NoSuchBatch):
        client.purge([batch], outputs=True)


def test_a_batch_that_is_not_over_is_named_and_nothing_is_purged(
    client: Client, batch: str, photos: Path, paintings: Path
) -> None:
    other = client.submit(photos, paintings).batch
    assert other is not None
    over(client, batch)
    with pytest.raises(BadSettings, match=f"not over yet: {other}; cancel first"):
        client.purge([batch, other], outputs=True)
    assert {one.batch for one in client.batches()} == {batch, other}
    assert client.purge(older_than_seconds=3600) == []
    assert [one.batch for one in client.purge(older_than_seconds=0)] == [batch]


def test_results_that_a_batch_has_yet_to_read_are_not_purged(
    client: Client, batch: str, paintings: Path
) -> None:
    store = client.connection.store
    store.put(layout.picture_key(batch, "a__b", "png"), png(picture(1)), content_type="image/png")
    reader = client.submit(f"store:outputs/{batch}", paintings).batch
    assert reader is not None
    over(client, batch)
    with pytest.raises(BadSettings, match=f"results of batch {batch} are inputs of batch {reader}"):
        client.purge([batch], outputs=True)
    assert client.status(batch).is_over
    client.cancel(reader)
    assert [one.batch for one in client.purge([batch], outputs=True)] == [batch]


def test_a_batch_that_is_retried_while_it_is_purged_stays(
    client: Client, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_result(client, batch, 0)
    over(client, batch, 1)
    ledger, store = client.connection.ledger, client.connection.store
    list_objects = store.list

    def retry_then_list(prefix: str) -> Iterator[ObjectInfo]:
        client.retry(batch)
        return list_objects(prefix)

    stored = keys(client, layout.outputs_prefix(batch))
    with monkeypatch.context() as patch:
        patch.setattr(store, "list", retry_then_list)
        with pytest.raises(BadSettings, match="was retried meanwhile"):
            client.purge([batch], outputs=True)
    assert keys(client, layout.outputs_prefix(batch)) == stored

    fail(client, batch, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "forget", lambda batch: False)
        with pytest.raises(BadSettings, match="was retried meanwhile"):
            client.purge([batch])
    assert store.head(layout.purged_key(batch)) is None
    # One that was purged only by half is wanted again, too.
    store.put(layout.purged_key(batch), b"{}", content_type="application/json")
    client.retry(batch)
    empty_the_ledger(client)
    assert [one.batch for one in client.recover().recovered] == [batch]


def test_nothing_is_purged_where_nobody_can_be_asked(
    client: Client, impasto: Impasto, capsys: pytest.CaptureFixture[str], batch: str
) -> None:
    client.cancel(batch)
    assert main(["purge", batch]) == 2
    assert "--yes" in capsys.readouterr().err
    assert client.status(batch).state is BatchState.CANCELLED


@pytest.mark.parametrize("words", [[], ["--older-than", "a month"]])
def test_purging_nothing_in_particular_is_a_usage_error(impasto: Impasto, words: list[str]) -> None:
    assert main(["purge", *words]) == 2


def test_only_whole_results_of_the_right_fingerprint_count_as_done_after_a_recovery(
    client: Client, batch: str
) -> None:
    put_result(client, batch, 5)
    put_result(client, batch, 1, fingerprint="e" * 64)
    put_result(client, batch, 2, picture_bytes=7)
    put_result(client, batch, 3)
    client.connection.store.delete(layout.picture_key(batch, client.pair(batch, 3).output_stem, "png"))
    results.put_result(client.connection.store, batch, "a_stranger__here", b"pixels")
    client.connection.store.put(
        f"{layout.outputs_prefix(batch)}x.json", b"{", content_type="application/json"
    )
    empty_the_ledger(client)
    (one,) = client.recover().recovered
    assert (one.batch, one.name, one.total, one.done, one.state) == (batch, "June", 6, 1, BatchState.ACTIVE)
    assert list(client.connection.ledger.done_pairs(batch)) == [5]
    assert client.connection.ledger.advance(batch, min_window=9) == [4]


def test_a_batch_that_was_over_ends_as_it_had_with_the_same_failures(client: Client, batch: str) -> None:
    for pair in (0, 2, 3, 5):
        put_result(client, batch, pair)
    over(client, batch, 1, 4)
    connection = client.connection
    write_report(batch, connection.ledger, connection.batches)
    told = [failure.told() for failure in client.failures(batch)]
    empty_the_ledger(client)
    (one,) = client.recover().recovered
    assert (one.done, one.state) == (4, BatchState.FAILED)
    assert [failure.told() for failure in client.failures(batch)] == told
    assert connection.ledger.running(batch) == []


@pytest.mark.parametrize("end", [BatchState.ACTIVE, BatchState.CANCELLED])
def test_a_batch_whose_rebuilding_was_broken_off_is_rebuilt_by_the_next_recovery(
    client: Client, batch: str, end: BatchState, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = client.connection
    ledger = connection.ledger
    for pair in (0, 5):
        put_result(client, batch, pair)
    if end is BatchState.CANCELLED:
        client.cancel(batch)
        write_report(batch, ledger, connection.batches)
    empty_the_ledger(client)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "finish", once(ledger.finish))
        patch.setattr(ledger, "control", once(ledger.control))
        with pytest.raises(LedgerUnavailable):
            client.recover()
    assert (client.status(batch).state, client.status(batch).done) == (BatchState.PAUSED, 1)
    (one,) = client.recover().recovered
    assert (one.done, one.state) == (2, end)
    again = client.recover()
    assert (again.recovered, again.known) == ((), 1)


def test_failures_are_all_kept_by_the_next_recovery_when_one_was_broken_off_among_them(
    client: Client, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = client.connection
    over(client, batch, *range(6))
    write_report(batch, connection.ledger, connection.batches)
    told = [failure.told() for failure in client.failures(batch)]
    empty_the_ledger(client)
    with monkeypatch.context() as patch:
        patch.setattr(connection.ledger, "fail", once(connection.ledger.fail))
        with pytest.raises(LedgerUnavailable):
            client.recover()
    assert client.status(batch).failed == 1
    assert [one.state for one in client.recover().recovered] == [BatchState.FAILED]
    assert [failure.told() for failure in client.failures(batch)] == told


def test_what_a_finished_batch_has_lost_since_is_made_again(client: Client, batch: str) -> None:
    put_result(client, batch, 0)
    over(client, batch, 1)
    connection = client.connection
    write_report(batch, connection.ledger, connection.batches)
    empty_the_ledger(client)
    (one,) = client.recover().recovered
    status = client.status(batch)
    assert (one.done, one.state) == (1, BatchState.ACTIVE)
    assert (status.failed, status.due) == (1, 4)


def test_zipped_pairs_and_old_tokens_are_recovered(client: Client, photos: Path, paintings: Path) -> None:
    (photos / "photo 2.png").unlink()
    batch = client.submit(photos, paintings, pairs="zip", token="nightly").batch
    assert batch is not None
    put_result(client, batch, 1)
    empty_the_ledger(client)
    assert [(one.total, one.done) for one in client.recover().recovered] == [(2, 1)]
    again = client.submit(photos, paintings, pairs="zip", token="nightly")
    assert (again.batch, again.created) == (batch, False)


def test_of_two_submissions_at_once_with_one_token_a_recovery_finds_one_batch(
    client: Client, photos: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = client.submit(photos, paintings, token="nightly").batch
    with monkeypatch.context() as patch:
        # The other one was not there yet when this one asked.
        patch.setattr(client.connection.ledger, "opened_by", lambda token: None)
        again = client.submit(photos, paintings, token="nightly")
    assert (again.batch, again.created) == (batch, False)
    empty_the_ledger(client)
    assert [one.batch for one in client.recover().recovered] == [batch]


def test_of_a_submission_that_was_repeated_a_recovery_finds_one_batch_and_names_the_other(
    client: Client,
    impasto: Impasto,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(client.connection.ledger, "open", once(lambda opening: None, calls=0))
        with pytest.raises(
            LedgerUnavailable, match=r"batch june-\w{6} may have been submitted: impasto"
        ) as told:
            client.submit(photos, paintings, name="June")
    (first,) = {key.split("/")[1] for key in keys(client, layout.BATCHES)}
    assert first in str(told.value)
    second = client.submit(photos, paintings, name="June").batch
    assert second is not None
    assert second != first
    # Redis knows the one, and has never heard of the other.
    recovery = client.recover()
    assert (recovery.recovered, recovery.known, recovery.doubles) == ((), 1, {first: second})
    empty_the_ledger(client)
    capsys.readouterr()
    assert main(["recover"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{second} is active: 0 of 6 were done already\n"
    assert f"{first} never ran, and {second} is the same submission" in captured.err
    # What was purged is not made after all, for its having been submitted twice.
    over(client, second)
    client.purge([second])
    recovery = client.recover()
    assert (recovery.recovered, recovery.passed_over, recovery.doubles) == ((), (second,), {first: second})
    assert [one.batch for one in client.recover([first, second]).recovered] == [first, second]
    # From now on both are real, whatever becomes of Redis.
    put_result(client, first, 0)
    put_result(client, second, 0)
    empty_the_ledger(client)
    assert {one.batch for one in client.recover().recovered} == {first, second}


def test_what_cannot_be_read_is_told_and_the_other_batches_are_recovered(
    client: Client,
    impasto: Impasto,
    capsys: pytest.CaptureFixture[str],
    batch: str,
    photos: Path,
    paintings: Path,
) -> None:
    newer_list = client.submit(photos, paintings, settings={"seed": 1}).batch
    assert newer_list is not None
    unreadable = {
        layout.spec_key("broken"): b"{",
        layout.spec_key("newer"): b'{"version": 2}',
        layout.chunk_key(newer_list, "contents", 0): b'{"new": 1}\n',
    }
    for key, body in unreadable.items():
        client.connection.store.put(key, body, content_type="application/json")
    empty_the_ledger(client)
    capsys.readouterr()
    assert main(["recover", "--json"]) == 1
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert [one["batch"] for one in answer["recovered"]] == [batch]
    assert [line.split()[0] for line in answer["problems"]] == list(unreadable)
    for key in unreadable:
        assert f"left out: {key}" in captured.err


def test_a_batch_that_the_ledger_knows_is_not_touched(
    client: Client, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease(client, batch, 0)
    client.pause(batch)
    before = client.status(batch)
    put_result(client, batch, 1)
    recovery = client.recover()
    assert (recovery.recovered, recovery.known) == ((), 1)
    with monkeypatch.context() as patch:
        # It was not there yet when the recovery asked.
        patch.setattr(client.connection.ledger, "batches", list)
        recovery = client.recover()
        again = client.recover()
    assert (recovery.recovered, recovery.known) == (again.recovered, again.known) == ((), 1)
    assert client.status(batch) == before
    with pytest.raises(NoSuchBatch, match="'nowhere'"):
        client.recover(["nowhere"])


def test_dead_letters_are_listed_with_their_reason(
    client: Client, impasto: Impasto, capsys: pytest.CaptureFixture[str]
) -> None:
    client.connection.ledger.bury("{" * 1000, "no JSON")
    (letter,) = impasto("deadletters")["deadletters"]
    assert (letter["reason"], letter["raw"]) == ("no JSON", "{" * 1000)
    assert [one.reason for one in client.dead_letters()] == ["no JSON"]
    assert main(["deadletters"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == f"    {'{' * 200}…"


def test_dead_letters_that_were_shown_are_forgotten_when_asked(
    client: Client, impasto: Impasto, capsys: pytest.CaptureFixture[str]
) -> None:
    client.connection.ledger.bury("{", "no JSON")
    assert main(["deadletters", "--forget"]) == 0
    _, raw, last = capsys.readouterr().out.splitlines()
    assert (raw, last) == ("    {", "1 dead letter forgotten")
    client.connection.ledger.bury("[]", "no object")
    answer = impasto("deadletters", "--forget")
    assert ([one["raw"] for one in answer["deadletters"]], answer["forgotten"]) == (["[]"], 1)
    assert impasto("deadletters", "--forget") == {"deadletters": [], "forgotten": 0}
    assert client.forget_dead_letters(client.dead_letters()) == 0
