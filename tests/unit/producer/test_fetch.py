from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import results
from impasto.producer.fetch import Fetched, fetch
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from impasto.shared.store.folder import FolderStore

BATCH = "june-abc234"


def put_result(store: FolderStore, stem: str, pixels: bytes, **overrides: Any) -> None:
    results.put_result(store, BATCH, stem, pixels, **overrides)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "home"


Fetch = Callable[..., Fetched]


@pytest.fixture
def fetched(store: FolderStore, home: Path) -> Fetch:
    return lambda total=2, **options: fetch(store, BATCH, total, home, **options)


def test_each_picture_arrives_with_its_metadata_and_the_rest_is_counted(
    store: FolderStore, home: Path, fetched: Fetch
) -> None:
    put_result(store, "a__x", b"pixels of a")
    put_result(store, "b__x", b"pixels of b")
    answer = fetched(total=5)
    assert (answer.fetched, answer.already, answer.missing, answer.problems) == (2, 0, 3, ())
    assert sorted(path.name for path in home.iterdir()) == ["a__x.json", "a__x.png", "b__x.json", "b__x.png"]
    assert (home / "a__x.png").read_bytes() == b"pixels of a"
    assert json.loads((home / "a__x.json").read_bytes())["picture_bytes"] == 11


def test_folders_of_output_names_are_made(store: FolderStore, home: Path, fetched: Fetch) -> None:
    put_result(store, "2026/May 4/a", b"pixels of a")
    put_result(store, "2026/b", b"pixels of b")
    assert fetched().fetched == 2
    assert (home / "2026" / "May 4" / "a.png").read_bytes() == b"pixels of a"
    assert (home / "2026" / "May 4" / "a.json").is_file()
    assert (home / "2026" / "b.png").read_bytes() == b"pixels of b"
    assert fetched().already == 2


def test_fetching_again_brings_only_what_is_new(store: FolderStore, fetched: Fetch) -> None:
    put_result(store, "a__x", b"pixels of a")
    fetched()
    put_result(store, "b__x", b"pixels of b")
    again = fetched()
    assert (again.fetched, again.already) == (1, 1)
    assert fetched().bytes == 0


def test_what_was_damaged_at_home_is_repaired(store: FolderStore, home: Path, fetched: Fetch) -> None:
    put_result(store, "a__x", b"pixels of a")
    fetched()
    (home / "a__x.png").write_bytes(b"pix")
    (home / "a__x.json").unlink()
    assert fetched().fetched == 1
    assert (home / "a__x.png").read_bytes() == b"pixels of a"
    (home / "a__x.json").write_text("{}")
    assert fetched().fetched == 0
    assert json.loads((home / "a__x.json").read_bytes())["picture_bytes"] == 11


def test_a_result_that_is_damaged_in_the_store_is_named_and_left_out(
    store: FolderStore, home: Path, fetched: Fetch
) -> None:
    put_result(store, "a__x", b"pixels of a", picture_sha256="0" * 64)
    put_result(store, "b__x", b"pixels of b")
    store.put(layout.metadata_key(BATCH, "c__x"), b"{}", content_type="application/json")
    put_result(store, "d__x", b"pixels of d")
    store.delete(layout.picture_key(BATCH, "d__x", "png"))
    answer = fetched(total=4)
    assert answer.fetched == 1
    assert [path.name for path in sorted(home.iterdir())] == ["b__x.json", "b__x.png"]
    assert len(answer.problems) == 3
    for stem, problem in zip("acd", answer.problems, strict=True):
        assert f"{stem}__x" in problem


@pytest.mark.parametrize(
    "key",
    [
        "outputs/other-batch/a__x.png",
        f"outputs/{BATCH}/../../a.png",
        f"outputs/{BATCH}/deeper//a.png",
        f"outputs/{BATCH}/deeper/.bashrc",
        f"outputs/{BATCH}/C:/a.png",
        f"outputs/{BATCH}/deeper/new\nline.png",
        f"outputs/{BATCH}/.bashrc",
        f"outputs/{BATCH}/",
        "/etc/passwd",
        f"outputs/{BATCH}/..\\a.png",
    ],
)
def test_metadata_can_not_make_a_file_outside_the_folder(
    store: FolderStore, home: Path, fetched: Fetch, key: str
) -> None:
    put_result(store, "a__x", b"pixels", picture_key=key)
    answer = fetched()
    assert answer.fetched == 0
    assert "no output of this batch" in answer.problems[0]
    assert list(home.parent.rglob("*")) == [home]


def test_a_link_in_the_folder_is_replaced_and_not_followed(
    store: FolderStore, home: Path, tmp_path: Path, fetched: Fetch
) -> None:
    put_result(store, "a__x", b"pixels of a")
    home.mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    (home / "a__x.png").symlink_to(tmp_path / "victim")
    fetched()
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (home / "a__x.png").is_symlink()


def test_the_report_comes_along_once_it_is_there(store: FolderStore, home: Path, fetched: Fetch) -> None:
    store.put(layout.spec_key(BATCH), b"{}", content_type="application/json")
    fetched()
    assert list(home.iterdir()) == []
    store.put(layout.report_key(BATCH, "csv"), b"pair\n", content_type="text/csv")
    store.put(layout.report_key(BATCH, "json"), b"{}", content_type="application/json")
    fetched()
    assert sorted(path.name for path in home.iterdir()) == ["report.csv", "report.json"]


def test_a_folder_that_can_not_be_one_is_refused(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSettings, match="can't be made a folder"):
        fetch(store, BATCH, 1, tmp_path / "file")
