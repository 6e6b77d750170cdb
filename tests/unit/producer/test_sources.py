from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.producer.sources import Found, find
from impasto.shared.errors import InputRefused, StoreUnavailable, Transient


def no_s3(url: str) -> Iterator[tuple[str, int]]:
    raise InputRefused(f"input {url} is refused: it lies elsewhere")


def found(*sources: str | Path, bucket: dict[str, int] | None = None) -> Found:
    """`bucket`: addresses and sizes, listed as an InputReader lists."""
    if bucket is None:
        return find(sources, list_objects=no_s3)

    def listed(url: str) -> Iterator[tuple[str, int]]:
        if url in bucket:
            yield url, bucket[url]
        else:
            yield from ((uri, size) for uri, size in sorted(bucket.items()) if uri.startswith(f"{url}/"))

    return find(sources, list_objects=listed)


def names(result: Found, folder: Path) -> list[str]:
    """Of those that are there."""
    there = (candidate for candidate in result.candidates if not candidate.left_out)
    return [os.path.relpath(candidate.name, folder) for candidate in there]


def test_a_folder_gives_its_pictures_in_order_and_counts_the_rest(photos: Path) -> None:
    result = found(photos)
    assert names(result, photos) == ["a.PNG", "b.jpg", "deep/c.webp"]
    assert (result.skipped, result.rejected) == (4, [])


def test_a_file_that_is_named_is_never_passed_over(photos: Path) -> None:
    result = found(photos / "a.xmp", photos / ".hidden.jpg")
    assert names(result, photos) == ["a.xmp", ".hidden.jpg"]
    assert result.skipped == 0


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg"]),
        ("**", ["a.PNG", "b.jpg", "deep/c.webp"]),
        ("**/*.webp", ["deep/c.webp"]),
        ("d*", ["deep/c.webp"]),
        ("[ab].*", ["a.PNG", "b.jpg"]),
    ],
)
def test_a_glob_gives_what_a_shell_would_make_of_it(photos: Path, pattern: str, expected: list[str]) -> None:
    result = found(f"{photos}/{pattern}")
    assert (names(result, photos), result.rejected) == (expected, [])


def test_a_name_that_looks_like_a_pattern_is_found_as_a_name(photos: Path) -> None:
    odd = photos / "x[1].png"
    odd.write_bytes(b"whatever")
    assert names(found(odd), photos) == ["x[1].png"]


def test_file_addresses_are_paths(photos: Path) -> None:
    assert names(found((photos / "b.jpg").as_uri()), photos) == ["b.jpg"]


def test_each_source_that_gives_nothing_is_named_with_its_reason_and_the_rest_goes_on(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    os.mkfifo(tmp_path / "pipe.png")
    result = found(
        tmp_path / "nowhere",
        tmp_path / "texts",
        tmp_path / "bare",
        f"{tmp_path}/*.tiff",
        "http://somewhere/a.jpg",
        "s3://elsewhere/a",
        "",
        tmp_path / "pipe.png",
        photos / "b.jpg",
    )
    assert names(result, photos) == ["b.jpg"]
    assert {one.input.removeprefix(f"{tmp_path}/"): one.error for one in result.rejected} == {
        "nowhere": "nothing is there",
        "texts": "its only file is no picture",
        "bare": "the folder holds no picture",
        "*.tiff": "nothing is there",
        "http://somewhere/a.jpg": "addresses of this kind are not read: give a path or s3://bucket/prefix",
        "s3://elsewhere/a": "it lies elsewhere",
        "": "it is no name",
        "pipe.png": "it is neither a file nor a folder",
    }


def test_links_that_go_in_a_circle_end(photos: Path) -> None:
    (photos / "deep" / "up").symlink_to(photos)
    assert names(found(photos), photos) == ["a.PNG", "b.jpg", "deep/c.webp"]


@pytest.mark.parametrize("pattern", ["**/*", "**", "**/**/*.*"])
def test_a_pattern_of_any_depth_finds_each_file_once_where_links_go_in_circles(
    photos: Path, pattern: str
) -> None:
    for name in ("all", "deep/here", "deep/again"):
        (photos / name).symlink_to(".")
    (photos / "deep" / "top").symlink_to(photos)
    result = found(f"{photos}/{pattern}")
    assert (names(result, photos), result.rejected) == (["a.PNG", "b.jpg", "deep/c.webp"], [])


@pytest.mark.parametrize("pattern", ["", "/*", "/**/*"])
def test_an_odd_link_is_named_and_the_rest_of_its_folder_goes_on(tmp_path: Path, pattern: str) -> None:
    for name in ("a.png", "z.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "m.png").symlink_to("m.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "p.png").symlink_to("never-there")
    result = found(f"{tmp_path}{pattern}")
    assert names(result, tmp_path) == ["a.png", "z.png"]
    why = {Path(one.input).name: one.error for one in result.rejected}
    assert why == {
        "m.png": "Too many levels of symbolic links",
        "loop": "Too many levels of symbolic links",
        "p.png": "No such file or directory",
    }
    assert [Path(one.input).name for one in result.unplaced] == ["loop"]


def test_a_rejected_input_keeps_its_place_and_what_may_have_been_several_is_told_apart(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "gone.jpg").symlink_to("never-there")
    sources = (tmp_path / "none.jpg", tmp_path / "inbox", photos / "b.jpg", "ftp://x/y.png", "\ud800.png")
    result = found(*sources, tmp_path / "nowhere", f"{tmp_path}/*.tiff", photos / ".git" / "none")
    assert [(Path(one.name).name, one.left_out) for one in result.candidates] == [
        ("none.jpg", True),
        ("gone.jpg", True),
        ("b.jpg", False),
        ("y.png", True),
        ("?.png", True),
    ]
    assert [Path(one.input).name for one in result.unplaced] == ["nowhere", "*.tiff", "none"]


def test_bytes_that_are_no_text_in_a_name_are_shown_as_such_and_found_all_the_same(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff.jpg")).write_bytes(b"x")
    (candidate,) = found(tmp_path).candidates
    assert candidate.name.endswith("a\N{REPLACEMENT CHARACTER}.jpg")
    assert candidate.path is not None
    assert candidate.path.read_bytes() == b"x"


BUCKET = {
    "s3://b/in/a.jpg": 1,
    "s3://b/in/2024/b.png": 2,
    "s3://b/in/2024/x/c.png": 3,
    "s3://b/in/.thumbs/d.png": 4,
    "s3://b/in/notes.txt": 5,
    "s3://b/inside/e.png": 6,
}


@pytest.mark.parametrize(
    ("source", "expected", "skipped"),
    [
        ("s3://b/in", ["in/2024/b.png", "in/2024/x/c.png", "in/a.jpg"], 2),
        ("s3://b/in/", ["in/2024/b.png", "in/2024/x/c.png", "in/a.jpg"], 2),
        ("s3://b/in/a.jpg", ["in/a.jpg"], 0),
        ("s3://b/in/notes.txt", ["in/notes.txt"], 0),
        ("s3://b/in/*/*.png", ["in/2024/b.png"], 1),
        ("s3://b/in/**/c.png", ["in/2024/x/c.png"], 0),
        ("s3://b/in/**", ["in/2024/b.png", "in/2024/x/c.png", "in/a.jpg"], 2),
        ("s3://b/i*/?.png", ["inside/e.png"], 0),
    ],
)
def test_s3_folders_objects_and_globs(source: str, expected: list[str], skipped: int) -> None:
    result = found(source, bucket=BUCKET)
    assert [candidate.uri for candidate in result.candidates] == [f"s3://b/{key}" for key in expected]
    assert (result.skipped, result.rejected) == (skipped, [])


def test_what_lies_in_the_store_is_found_by_its_place_there() -> None:
    bucket = {"store:outputs/june/a__x.png": 1, "store:outputs/june/a__x.json": 2, "store:inputs/b.png": 3}
    result = found("store:outputs/june/", "store:inputs/b.png", bucket=bucket)
    assert [(one.uri, one.folder) for one in result.candidates] == [
        ("store:outputs/june/a__x.png", "store:outputs/june"),
        ("store:inputs/b.png", "store:inputs"),
    ]
    assert (result.skipped, result.rejected) == (1, [])


@pytest.mark.parametrize(
    ("source", "folder"),
    [("", ""), ("/", ""), ("/b.jpg", ""), ("/*.jpg", ""), ("/deep/*", "/deep"), ("/d*/*.webp", "")],
)
def test_each_input_knows_the_folder_that_its_source_named(photos: Path, source: str, folder: str) -> None:
    result = found(f"{photos}{source}")
    assert {one.folder.removesuffix("/") for one in result.candidates} == {f"{photos}{folder}"}


def test_a_share_that_is_gone_is_no_fault_of_what_lies_on_it(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def gone(folder: str) -> os._ScandirIterator[str]:
        if folder.endswith("deep"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", gone)
    for source in (photos, f"{photos}/**/*.jpg", f"{photos}/*"):
        with pytest.raises(Transient, match=r"photos/deep can't be read now \(Stale file handle\).* share"):
            found(source)


def test_a_store_that_does_not_answer_is_no_fault_of_the_source() -> None:
    def down(url: str) -> Iterator[tuple[str, int]]:
        raise StoreUnavailable(f"{url} does not answer")

    with pytest.raises(StoreUnavailable):
        find(["s3://b/in"], list_objects=down)


def test_files_of_a_folder_that_are_no_pictures_are_counted_by_kind(photos: Path) -> None:
    (photos / "deep" / "._c.webp").write_bytes(b"")
    (photos / "deep" / "noextension").write_bytes(b"")
    expected = {"sidecars": 1, "system files": 2, "hidden files": 2, "other files": 1}
    assert found(photos).kinds == expected
    assert found(f"{photos}/**").kinds == {"sidecars": 1, "system files": 1, "other files": 1}


def test_objects_that_are_no_pictures_are_counted_by_kind() -> None:
    uris = (
        "s3://b/p/a.xmp",
        "s3://b/p/.git/x.png",
        "s3://b/p/x/.DS_Store",
        "s3://b/p/c.mp4",
        "s3://b/p/d.png",
    )
    result = found("s3://b/p", bucket=dict.fromkeys(uris, 1))
    assert result.kinds == {"sidecars": 1, "hidden files": 1, "system files": 1, "videos": 1}
    assert [candidate.name for candidate in result.candidates] == ["s3://b/p/d.png"]
