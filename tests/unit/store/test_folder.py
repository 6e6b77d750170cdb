from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from impasto.shared.errors import ObjectMissing, StoreRefused, StoreUnavailable
from impasto.shared.store import ObjectInfo, folder
from impasto.shared.store.folder import FolderStore
from store_contract import StoreContract

PNG = "image/png"


class TestFolder(StoreContract):
    pass


def test_the_url_leads_back_to_the_folder(tmp_path: Path) -> None:
    assert FolderStore(tmp_path / "é ä%").url == (tmp_path / "é ä%").as_uri()


def test_nothing_is_made_before_the_first_put(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "not yet")
    assert store.head("a") is None
    store.delete("a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_put_by_hand_is_an_object_without_metadata(store: FolderStore) -> None:
    file = store.root / "inputs" / "by hand.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"123")
    assert store.head("inputs/by hand.jpg") == ObjectInfo("inputs/by hand.jpg", 3)


def test_metadata_of_another_file_than_the_one_there_is_not_believed(store: FolderStore) -> None:
    store.put("key", b"mine", content_type=PNG, metadata={"fingerprint": "f"})
    (store.root / "key").write_bytes(b"else")
    os.utime(store.root / "key", ns=(1, 1))
    assert store.head("key") == ObjectInfo("key", 4)


@pytest.mark.parametrize("sidecar", [b"", b"{", b"[]", b"null", b'{"size_bytes": 4}'])
def test_a_damaged_sidecar_costs_the_metadata_only(store: FolderStore, sidecar: bytes) -> None:
    store.put("key", b"mine", content_type=PNG, metadata={"fingerprint": "f"})
    (store.root / ".meta" / "key.json").write_bytes(sidecar)
    assert store.head("key") == ObjectInfo("key", 4)
    assert store.get("key") == b"mine"


@pytest.mark.parametrize("mount_point", ["empty", "none"])
def test_a_store_whose_disk_was_unmounted_is_away_to_every_method_and_nothing_is_written_beneath_it(
    store: FolderStore, tmp_path: Path, mount_point: str
) -> None:
    store.put("a/key", b"mine", content_type=PNG, metadata={"k": "v"})
    store.root.rename(tmp_path / "elsewhere")
    if mount_point == "empty":
        store.root.mkdir()
    uses: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("a/key"),
        "head": lambda: store.head("a/key"),
        "list": lambda: list(store.list("")),
        "put": lambda: store.put("a/key", b"", content_type=PNG),
        "put_if_absent": lambda: store.put_if_absent("b/key", b"", content_type=PNG),
        "copy": lambda: store.copy("a/key", "c/key"),
        "delete": lambda: store.delete("a/key"),
        "check": store.check,
    }
    for name, use in uses.items():
        with pytest.raises(StoreUnavailable, match="is its disk mounted") as caught:
            use()
        assert store.url in str(caught.value), name
    if mount_point == "empty":
        # rmdir, which refuses whatever is not empty.
        store.root.rmdir()
    (tmp_path / "elsewhere").rename(store.root)
    assert store.get("a/key") == b"mine"
    store.check()


def test_an_empty_folder_lacks_no_object_until_it_is_used_as_a_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert (store.head("a"), list(store.list(""))) == (None, [])
    with pytest.raises(StoreUnavailable, match="is its disk mounted"):
        store.get("a")
    store.check()
    with pytest.raises(ObjectMissing):
        FolderStore(tmp_path).get("a")


def test_a_folder_filled_by_hand_or_read_only_is_a_store_without_being_marked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"by hand")
    store = FolderStore(tmp_path)
    with pytest.raises(ObjectMissing):
        store.get("b")
    assert store.head("b") is None
    assert [found.key for found in store.list("")] == ["a"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_copy_of_the_folder_keeps_the_metadata(store: FolderStore, tmp_path: Path) -> None:
    store.put("a/key", b"mine", content_type=PNG, metadata={"fingerprint": "f"})
    shutil.copytree(store.root, tmp_path / "copy")
    assert FolderStore(tmp_path / "copy").head("a/key") == store.head("a/key")


def test_a_file_and_a_folder_of_one_name_are_refused_with_the_reason(store: FolderStore) -> None:
    store.put("a", b"", content_type=PNG)
    with pytest.raises(StoreRefused, match="one name"):
        store.put("a/b", b"", content_type=PNG)
    store.put("c/d", b"", content_type=PNG)
    with pytest.raises(StoreRefused, match="one name"):
        store.put("c", b"", content_type=PNG)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", ["put", "put_if_absent"])
def test_a_full_disk_may_pass_and_leaves_nothing_torn(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store.put("key", b"old", content_type=PNG, metadata={"k": "v"})
    store.put("other", b"old", content_type=PNG)
    store.delete("other")

    def fsync_on_a_full_disk(descriptor: int) -> None:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 (a device)
            full.write(b"x")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync_on_a_full_disk)
        with pytest.raises(StoreUnavailable, match="make room"):
            getattr(store, name)("key" if name == "put" else "other", b"new", content_type=PNG)
    assert store.get("key") == b"old"
    assert list(store.list("")) == [ObjectInfo("key", 3)]
    assert not list(store.root.rglob(".tmp-*"))


def test_what_a_killed_put_left_goes_with_a_listing_a_day_later(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/key", b"whole", content_type=PNG)
    killed = (
        "import os, sys; from pathlib import Path; from impasto.shared.store.folder import FolderStore; "
        "Path.replace = lambda *_: os._exit(9); "
        "FolderStore(Path(sys.argv[1])).put('a/other', b'half', content_type='image/png')"
    )
    assert subprocess.run([sys.executable, "-c", killed, str(store.root)]).returncode == 9

    def left() -> list[str]:
        return sorted(str(path.parent.relative_to(store.root)) for path in store.root.rglob(".tmp-*"))

    for later_seconds, expected in ((0, [".meta/a", "a"]), (25 * 3600, [])):
        now = time.time() + later_seconds
        monkeypatch.setattr(folder, "time", SimpleNamespace(time=lambda now=now: now))
        assert [found.key for found in store.list("a/")] == ["a/key"]
        assert left() == expected


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_that_may_not_be_written_refuses_with_the_mend(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    # Whoever runs the tests may be root, whom the file system refuses nothing.
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreRefused, match=r"file://.*(right|writable).*IMPASTO_STORE_URL"):
        store.put("key", b"", content_type=PNG)


def test_a_disk_that_fails_otherwise_may_pass(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        store.get("key")
    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        store.put_if_absent("key", b"", content_type=PNG)


def test_without_hard_links_put_if_absent_still_stores_once(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    assert store.put_if_absent("k", b"1", content_type=PNG, metadata={"a": "b"}) is True
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    assert store.put_if_absent("k", b"2", content_type=PNG) is False
    assert store.get("k") == b"1"


def _put_without_end(root: Path, byte: int) -> None:
    store = FolderStore(root)
    while True:
        store.put("race", bytes([byte]) * 50_000, content_type=f"x/{byte}", metadata={"by": str(byte)})


def test_processes_that_put_one_key_and_are_killed_leave_a_whole_object(store: FolderStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_put_without_end, args=(store.root, byte)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        deadline = time.monotonic() + 60
        seen: set[int] = set()
        while len(seen) < 2:
            assert time.monotonic() < deadline, f"only {seen} wrote"
            if (store.root / "race").exists():
                data = store.get("race")
                assert data == data[:1] * 50_000
                seen.add(data[0])
    finally:
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()

    data = store.get("race")
    assert data == data[:1] * 50_000
    described = store.head("race")
    # Killed between its two renames a writer leaves the metadata unknown, never that of the other.
    assert described in (
        ObjectInfo("race", 50_000, f"x/{data[0]}", {"by": str(data[0])}),
        ObjectInfo("race", 50_000),
    )
    assert [found.key for found in store.list("")] == ["race"]


def test_the_sidecar_is_json_that_people_can_read(store: FolderStore) -> None:
    store.put("a/key.png", b"data", content_type=PNG, metadata={"fingerprint": "f"})
    sidecar = json.loads((store.root / ".meta" / "a" / "key.png.json").read_text())
    assert sidecar["content_type"] == PNG
    assert sidecar["metadata"] == {"fingerprint": "f"}
