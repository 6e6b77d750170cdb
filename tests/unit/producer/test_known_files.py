from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from impasto.producer.known_files import FileState, KnownFile, KnownFiles

LONG_AGO = time.time() - 3600
PICTURE = KnownFile("ab" * 32, "png", (24, 16))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Written an hour ago, as its time says."""
    path = tmp_path / "a.png"
    path.write_bytes(b"a picture")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cache" / "inputs.sqlite"


def state(path: Path) -> FileState:
    return FileState.of(path.stat())


def remember(cache: Path, path: Path, known: KnownFile = PICTURE) -> None:
    with KnownFiles(cache) as files:
        files.keep(path, state(path), time.time(), known)


def test_what_was_read_is_known_to_a_later_process(file: Path, cache: Path) -> None:
    remember(cache, file)
    with KnownFiles(cache) as files:
        assert files.find(file, state(file)) == PICTURE
    assert cache.stat().st_mode & 0o077 == 0


def test_a_file_that_was_written_to_replaced_or_touched_is_read_again(file: Path, cache: Path) -> None:
    before = state(file)

    def other_bytes_of_the_same_size_and_time() -> None:
        file.write_bytes(b"b picture")
        os.utime(file, ns=(before.mtime_ns, before.mtime_ns))

    def another_file_of_the_same_size_and_time() -> None:
        other = file.with_suffix(".new")
        other.write_bytes(b"c picture")
        os.utime(other, ns=(before.mtime_ns, before.mtime_ns))
        other.rename(file)

    def longer() -> None:
        file.write_bytes(b"a longer picture")

    for change in (other_bytes_of_the_same_size_and_time, another_file_of_the_same_size_and_time, longer):
        os.utime(file, ns=(before.mtime_ns, before.mtime_ns))
        remember(cache, file)
        change()
        with KnownFiles(cache) as files:
            assert files.find(file, state(file)) is None, change.__name__


def test_a_file_that_was_changed_just_before_it_was_read_is_not_trusted(file: Path, cache: Path) -> None:
    os.utime(file)
    remember(cache, file)
    with KnownFiles(cache) as files:
        assert files.find(file, state(file)) is None


def test_a_cache_that_is_damaged_is_begun_anew(file: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"this is no SQLite" * 100)
    remember(cache, file)
    with KnownFiles(cache) as files:
        assert files.find(file, state(file)) == PICTURE


def test_where_nothing_can_be_kept_nothing_is_known_and_nothing_raised(file: Path, tmp_path: Path) -> None:
    (tmp_path / "no folder").write_text("a file")
    with KnownFiles(tmp_path / "no folder" / "inputs.sqlite") as files:
        files.keep(file, state(file), time.time(), PICTURE)
        files.forget(file)
        assert files.find(file, state(file)) is None


def test_only_so_many_are_kept(tmp_path: Path, cache: Path) -> None:
    with KnownFiles(cache, max_files=3) as files:
        paths = [tmp_path / f"{number}.png" for number in range(10)]
        for path in paths:
            path.write_bytes(b"x")
            os.utime(path, (LONG_AGO, LONG_AGO))
            files.keep(path, state(path), time.time(), PICTURE)
    with KnownFiles(cache) as files:
        assert sum(files.find(path, state(path)) is not None for path in paths) == 3


def test_many_threads_of_two_users_of_one_cache_lose_nothing(tmp_path: Path, cache: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(400)]
    for path in paths:
        path.write_bytes(b"x")
        os.utime(path, (LONG_AGO, LONG_AGO))
    with KnownFiles(cache) as one, KnownFiles(cache) as other:

        def keep(files: KnownFiles, mine: list[Path]) -> None:
            for path in mine:
                files.keep(path, state(path), time.time(), PICTURE)

        threads = [
            threading.Thread(target=keep, args=(files, paths[at::4]))
            for at, files in enumerate((one, other, one, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with KnownFiles(cache) as files:
        assert all(files.find(path, state(path)) == PICTURE for path in paths)
