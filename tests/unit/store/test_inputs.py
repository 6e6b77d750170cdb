from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.shared.errors import BadPicture, BadSettings, ImpastoError, InputRefused, StoreUnavailable
from impasto.shared.jobs import InputRef
from impasto.shared.store.folder import FolderStore
from impasto.shared.store.inputs import InputReader

PNG = "image/png"
DATA = b"a picture"


def ref(uri: str, **fields: object) -> InputRef:
    return InputRef.model_validate({"uri": uri, "name": "my cat.png", **fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    (folder / "cat é.png").write_bytes(DATA)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return folder


@pytest.fixture
def reader(store: FolderStore, folder: Path) -> InputReader:
    for key in ("inputs/cat.png", "outputs/b/cat.png", "batches/b/batch.json"):
        store.put(key, DATA, content_type=PNG)
    return InputReader(store, allowed_prefixes=[folder.as_uri()], limit_bytes=100)


@pytest.mark.parametrize("key", ["inputs/cat.png", "outputs/b/cat.png"])
def test_uploads_and_results_are_read_from_the_store(reader: InputReader, key: str) -> None:
    assert reader.read(ref(f"store:{key}")) == DATA
    assert reader.head(f"store:{key}").size_bytes == len(DATA)
    assert reader.head(f"store:{key}").key == f"store:{key}"


def test_a_file_below_an_allowed_folder_is_read(reader: InputReader, folder: Path) -> None:
    uri = (folder / "cat é.png").as_uri()
    assert "%20" in uri
    assert reader.read(ref(uri)) == DATA
    assert reader.head(uri).size_bytes == len(DATA)


def test_a_file_of_the_folder_that_is_the_store_is_read(reader: InputReader, store: FolderStore) -> None:
    assert reader.read(ref(f"{store.url}/inputs/cat.png")) == DATA


def test_a_link_within_an_allowed_folder_is_followed(reader: InputReader, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "cat é.png")
    assert reader.read(ref((folder / "link.png").as_uri())) == DATA


@pytest.mark.parametrize(
    "address",
    [
        "store:batches/b/batch.json",
        "store:inputs",
        "store:inputs/../batches/b/batch.json",
        "store:/inputs/cat.png",
        "store:.meta/inputs/cat.png.json",
        "store:",
        "s3://bucket/cat.png",
        "s3://",
        "s3:///key",
        "http://127.0.0.1/cat.png",
        "https://example.com/cat.png",
        "file://host/cat.png",
        "file:cat.png",
        "file:///etc/passwd",
        "{folder}/../secret.png",
        "{folder}/%2e%2e/secret.png",
        "{folder}2/cat.png",
        "{folder}/out.png",
        "{folder}/outside/secret.png",
        "{folder}/circle",
        "/etc/passwd",
        "cat.png",
        "data:image/png;base64,AAAA",
        "FILE:///etc/passwd",
    ],
)
def test_what_is_not_allowed_is_refused_by_name(reader: InputReader, folder: Path, address: str) -> None:
    sibling = Path(f"{folder}2")
    sibling.mkdir()
    (sibling / "cat.png").write_bytes(b"secret")
    (folder / "out.png").symlink_to(folder.parent / "secret.png")
    (folder / "outside").symlink_to(folder.parent)
    (folder / "circle").symlink_to(folder / "circle")
    uri = address.format(folder=folder.as_uri())
    with pytest.raises(InputRefused, match=r"my cat\.png"):
        reader.read(ref(uri))
    with pytest.raises(InputRefused):
        reader.head(uri)


def test_a_refusal_says_how_to_allow_it(reader: InputReader, folder: Path) -> None:
    for uri in ("s3://other/cat.png", f"{folder.as_uri()}/../secret.png"):
        with pytest.raises(InputRefused, match="IMPASTO_INPUT_PREFIXES"):
            reader.read(ref(uri))


@pytest.mark.parametrize("address", ["store:inputs/none.png", "{folder}/none.png", "{folder}/cat%20é.png/x"])
def test_an_input_that_is_not_there_is_named(reader: InputReader, folder: Path, address: str) -> None:
    uri = address.format(folder=folder.as_uri())
    with pytest.raises(InputRefused, match=r"my cat\.png.*does not exist"):
        reader.read(ref(uri))
    with pytest.raises(InputRefused, match="does not exist"):
        reader.head(uri)


def test_a_name_with_line_breaks_stays_on_one_line(reader: InputReader) -> None:
    with pytest.raises(InputRefused, match=r"my\\ncat"):
        reader.read(ref("store:inputs/none.png", name="my\ncat"))


@pytest.mark.parametrize("address", ["store:inputs/cat.png", "{folder}/cat%20é.png"])
def test_an_input_larger_than_the_limit_is_not_read(store: FolderStore, folder: Path, address: str) -> None:
    store.put("inputs/cat.png", DATA, content_type=PNG)
    uri = address.format(folder=folder.as_uri())
    whole, short = (
        InputReader(store, allowed_prefixes=[folder.as_uri()], limit_bytes=limit_bytes)
        for limit_bytes in (len(DATA), len(DATA) - 1)
    )
    assert whole.read(ref(uri)) == DATA
    with pytest.raises(BadPicture, match=r"my cat\.png.*8 bytes.*IMPASTO_MAX_INPUT_BYTES"):
        short.read(ref(uri))


def test_bytes_other_than_those_submitted_are_refused(reader: InputReader) -> None:
    right, wrong = (hashlib.sha256(data).hexdigest() for data in (DATA, b"other"))
    assert reader.read(ref("store:inputs/cat.png", sha256=right)) == DATA
    with pytest.raises(InputRefused, match=r"my cat\.png.*changed since it was submitted"):
        reader.read(ref("store:inputs/cat.png", sha256=wrong))


def test_a_pipe_or_a_folder_is_no_input(reader: InputReader, folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    for name in ("pipe.png", ""):
        uri = f"{folder.as_uri()}/{name}"
        with pytest.raises(InputRefused, match="regular file"):
            reader.read(ref(uri))
        with pytest.raises(InputRefused, match="regular file"):
            reader.head(uri)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.EACCES, InputRefused), (errno.EIO, StoreUnavailable), (errno.ESTALE, StoreUnavailable)],
)
def test_a_file_that_can_not_be_read_is_refused_or_may_pass(
    reader: InputReader,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[ImpastoError],
) -> None:
    # Whoever runs the tests may be root, whom the file system refuses nothing.
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    uri = (folder / "cat é.png").as_uri()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(kind, match="cat é"):
            reader.read(ref(uri))


@pytest.mark.parametrize(
    "prefix", ["photographs", "/photographs", "http://host/", "s3://", "file://host/x", ""]
)
def test_a_prefix_that_is_no_place_is_a_bad_setting(store: FolderStore, prefix: str) -> None:
    with pytest.raises(BadSettings, match=r"file:///folder"):
        InputReader(store, allowed_prefixes=[prefix], limit_bytes=1)


def test_a_folder_of_the_store_is_listed(reader: InputReader, store: FolderStore) -> None:
    store.put("inputs/b.png", b"", content_type=PNG)
    everything = [("store:inputs/b.png", 0), ("store:inputs/cat.png", len(DATA))]
    assert list(reader.list("store:inputs")) == list(reader.list("store:inputs/")) == everything
    assert list(reader.list("store:inputs/cat.png")) == everything[1:]
    for url in ("store:batches", "store:", "file:///", "photographs"):
        with pytest.raises(InputRefused):
            list(reader.list(url))


@given(st.lists(st.sampled_from(["a", "..", ".", "", "ab", "%2e%2e", "b", "~"]), max_size=6))
def test_no_path_leaves_the_allowed_folder(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    base = tmp_path_factory.getbasetemp() / "walk"
    for path, data in (("a/a", b"inside"), ("a/b", b"inside"), ("ab", b"outside"), ("b", b"outside")):
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(data)
    reader = InputReader(
        FolderStore(base / "store"), allowed_prefixes=[(base / "a").as_uri()], limit_bytes=100
    )
    with suppress(InputRefused):
        assert reader.read(ref(f"{(base / 'a').as_uri()}/{'/'.join(parts)}")) == b"inside"
