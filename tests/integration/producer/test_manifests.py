from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from impasto.producer import Client, StyleSettings, SubmissionRefused
from impasto.producer.collect import Collector
from impasto.producer.sources import Candidate
from impasto.shared.errors import BadSettings
from impasto.shared.jobs import PairJob
from stage import picture


@pytest.fixture
def manifest(tmp_path: Path, photos: Path, paintings: Path) -> Path:
    """Three pairs beside the folders of their pictures."""
    return written(
        tmp_path / "nights.jsonl",
        {"content": "photos/photo 0.png", "style": "paintings/painting 0.png"},
        {"content": "photos/photo 1.png", "style": "paintings/painting 0.png", "name": "A b"},
        {"content": "photos/photo 0.png", "style": "paintings/painting 1.png"},
    )


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def rows_of(manifest: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def jobs(client: Client, batch: str) -> list[PairJob]:
    return [client.pair(batch, pair) for pair in range(client.status(batch).total)]


def pairs(client: Client, batch: str) -> list[tuple[str, str]]:
    return [(Path(job.content.name).name, Path(job.style.name).name) for job in jobs(client, batch)]


def store_keys(client: Client) -> list[str]:
    return [info.key for info in client.connection.store.list("")]


def test_each_row_is_a_pair_with_an_output_of_its_own(client: Client, manifest: Path) -> None:
    made = client.submit_manifest(manifest, settings={"seed": 3})
    (batch,) = made.batches
    assert (made.pairs, made.rejected, client.status(batch).name) == (3, (), "nights")
    assert pairs(client, batch) == [
        ("photo 0.png", "painting 0.png"),
        ("A b", "painting 0.png"),
        ("photo 0.png", "painting 1.png"),
    ]
    stems = [job.output_stem for job in jobs(client, batch)]
    assert stems[1].startswith("A_b__painting_0")
    assert len(set(stems)) == 3
    assert {job.settings for job in jobs(client, batch)} == {StyleSettings.preset("gallery", seed=3)}


def test_an_input_that_many_rows_name_is_read_once(
    client: Client, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read = Collector._read

    def counted(collector: Collector, candidate: Candidate) -> bytes:
        reads[Path(candidate.name).name] += 1
        return read(collector, candidate)

    monkeypatch.setattr(Collector, "_read", counted)
    rows = rows_of(manifest)
    client.submit_manifest(
        written(manifest, *rows[::2], *({**row, "settings": {"seed": 2}} for row in rows[::2]))
    )
    assert reads == {"photo 0.png": 1, "painting 0.png": 1, "painting 1.png": 1}


def test_rows_of_equal_settings_are_one_batch_each(client: Client, manifest: Path) -> None:
    first, second, third = rows_of(manifest)
    default = StyleSettings.preset("gallery").steps
    written(
        manifest,
        first,
        {**second, "settings": {"preset": "tutorial", "size_px": 64}},
        {**third, "settings": {"steps": default}},
    )
    made = client.submit_manifest(manifest, name="June")
    assert [(client.status(batch).name, pairs(client, batch)) for batch in made.batches] == [
        ("June-1", [("photo 0.png", "painting 0.png"), ("photo 0.png", "painting 1.png")]),
        ("June-2", [("A b", "painting 0.png")]),
    ]
    assert jobs(client, made.batches[1])[0].settings == StyleSettings.preset("tutorial", size_px=64)


def test_one_senseless_row_leaves_nothing_of_all_batches(client: Client, manifest: Path) -> None:
    rows = rows_of(manifest)
    written(manifest, {**rows[0], "settings": {"seed": 1}}, {**rows[1], "settings": {"steps": -4}}, rows[2])
    with pytest.raises(SubmissionRefused, match="nothing was submitted") as refused:
        client.submit_manifest(manifest)
    (told,) = refused.value.rejected
    assert told.input == f"{manifest}, line 2, column settings.steps"
    assert "-4" in told.error
    assert (client.batches(), store_keys(client)) == ([], [])


def test_a_bad_picture_is_rejected_by_name_once_and_the_other_rows_go_on(
    client: Client, manifest: Path, photos: Path
) -> None:
    (photos / "photo 0.png").write_bytes(b"no picture")
    rows = rows_of(manifest)
    written(manifest, *rows, {"content": "photos/none.png", "style": "paintings/painting 0.png"})
    made = client.submit_manifest(manifest)
    assert [Path(one.input).name for one in made.rejected] == ["photo 0.png", "none.png"]
    assert made.rejected[1].error == "nothing is there (line 4)"
    assert pairs(client, made.batches[0]) == [("A b", "painting 0.png")]
    with pytest.raises(SubmissionRefused, match="strict"):
        client.submit_manifest(manifest, strict=True, token="another")


def test_the_same_manifest_is_the_same_batches_until_a_file_is_mended(
    client: Client, manifest: Path, photos: Path
) -> None:
    (photos / "photo 1.png").write_bytes(b"broken")
    rows = rows_of(manifest)
    written(manifest, *rows, {**rows[0], "settings": {"seed": 5}})
    first = client.submit_manifest(manifest)
    again = client.submit_manifest(manifest)
    assert again.batches == first.batches
    assert [one.created for one in (*first.submissions, *again.submissions)] == [True, True, False, False]
    (photos / "photo 1.png").write_bytes((photos / "photo 2.png").read_bytes())
    mended = client.submit_manifest(manifest)
    assert not set(mended.batches) & set(first.batches)
    assert mended.pairs == first.pairs + 1


def test_a_file_or_an_object_that_was_replaced_unseen_is_another_manifest(
    client: Client, manifest: Path, photos: Path
) -> None:
    store, key = client.connection.store, "outputs/earlier/harbour.bmp"
    photo = photos / "photo 0.bmp"
    written(
        manifest,
        {"content": f"store:{key}", "style": "paintings/painting 0.png"},
        {"content": "photos/photo 0.bmp", "style": "paintings/painting 0.png"},
    )
    picture(1).save(photo)
    store.put(key, photo.read_bytes(), content_type="image/bmp")
    first = client.submit_manifest(manifest)
    assert client.submit_manifest(manifest).batches == first.batches

    picture(2).save(photos / "other.bmp")
    store.put(key, (photos / "other.bmp").read_bytes(), content_type="image/bmp")
    second = client.submit_manifest(manifest)
    assert second.submissions[0].created

    before = photo.stat()
    os.utime(photos / "other.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    (photos / "other.bmp").rename(photo)
    assert (photo.stat().st_size, photo.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert client.submit_manifest(manifest).submissions[0].created


def test_what_was_interrupted_between_two_openings_is_finished_by_the_same_command(
    client: Client, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(manifest)
    written(manifest, *({**row, "settings": {"seed": seed}} for seed, row in enumerate(rows)))
    ledger = client.connection.ledger
    open_, opened = ledger.open, []

    def dies_at_the_second(opening: Any) -> Any:
        if opened:
            raise KeyboardInterrupt
        opened.append(opening.batch)
        return open_(opening)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "open", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt, match="1 of 3 batches were submitted"):
            client.submit_manifest(manifest)
    assert [status.batch for status in client.batches()] == opened
    made = client.submit_manifest(manifest)
    assert [one.created for one in made.submissions] == [False, True, True]
    assert made.batches[0] == opened[0]
    assert len(client.batches()) == 3


def test_a_dry_run_of_a_manifest_leaves_nothing(client: Client, manifest: Path) -> None:
    made = client.submit_manifest(manifest, dry_run=True)
    assert (made.pairs, made.batches, store_keys(client), client.batches()) == (3, (), [], [])


def test_a_mask_of_a_row_goes_with_its_content(client: Client, manifest: Path, photos: Path) -> None:
    rows = rows_of(manifest)
    written(manifest, {**rows[0], "mask": "photos/photo 2.png"}, rows[0])
    made = client.submit_manifest(manifest)
    assert made.submissions[0].masks == 1
    assert [job.mask is not None for job in jobs(client, made.batches[0])] == [True, False]


def test_too_many_settings_are_refused_before_any_picture_is_read(client: Client, manifest: Path) -> None:
    row = {"content": "nowhere.png", "style": "nowhere.png"}
    written(manifest, *({**row, "settings": {"seed": seed}} for seed in range(1001)))
    with pytest.raises(BadSettings, match="1,001 different settings"):
        client.submit_manifest(manifest)


def test_settings_that_are_wrong_for_all_rows_are_told_once(client: Client, manifest: Path) -> None:
    with pytest.raises(BadSettings, match="unknown setting 'depth'"):
        client.submit_manifest(manifest, settings={"depth": 3})
