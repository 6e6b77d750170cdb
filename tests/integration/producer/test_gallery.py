"""`impasto gallery` and `Client.gallery` on real servers."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import results
from commands import Impasto
from hands import fail, finish
from impasto.producer import Client
from impasto.producer.cli import main
from stage import picture, png


def settled(client: Client, photos: Path, paintings: Path) -> str:
    """Five of six pairs are done, one failed."""
    batch = client.submit(photos, paintings).batch
    assert batch is not None
    for pair in range(6):
        if pair == 4:
            fail(client, batch, pair)
            continue
        stem = client.pair(batch, pair).output_stem
        results.put_result(
            client.connection.store,
            batch,
            stem,
            png(picture(20 + pair)),
            pair=pair,
            width_px=48,
            height_px=40,
        )
        finish(client, batch, pair)
    return batch


def test_the_command_makes_a_page_in_a_folder_or_in_the_store_and_says_where(
    client: Client, impasto: Impasto, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    batch = settled(client, photos, paintings)
    for words, index in (
        (("--to", tmp_path / "page"), str(tmp_path / "page" / "index.html")),
        (("--put",), f"batches/{batch}/gallery/index.html"),
    ):
        answer = impasto("gallery", batch, *words)
        url = answer.pop("url")
        assert Path(unquote(urlsplit(url).path)).is_file()
        assert answer == {
            "batch": batch,
            "index": index,
            "pairs": 6,
            "pictures": 5,
            "failed": 1,
            "thumbnails_made": 5 + 3 + 3 + 2,
            "state": "failed",
            "problems": [],
        }
        assert impasto("gallery", batch, *words)["thumbnails_made"] == 0


def test_without_more_words_it_is_the_latest_in_a_folder_of_its_name(
    client: Client,
    impasto: Impasto,
    photos: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    batch = settled(client, photos, paintings)
    assert main(["gallery"]) == 0
    told = capsys.readouterr()
    index = tmp_path / f"gallery-{batch}" / "index.html"
    assert told.out == f"5 pictures of 6 pairs, 1 failed: {index.as_uri()}\n"
    assert "thumbnails: 10 of 10 there" in told.err
    assert main(["gallery", "--put", "--to", "x"]) == 2


def test_purging_a_batch_with_its_outputs_takes_its_gallery_along(
    client: Client, photos: Path, paintings: Path
) -> None:
    batch = settled(client, photos, paintings)
    assert client.gallery(batch).pictures == 5
    client.purge([batch], outputs=True)
    assert list(client.connection.store.list("batches/")) == []
