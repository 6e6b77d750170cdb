"""Results from the store into a folder: verified, atomic, and never twice."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from impasto.producer.collect import OnProgress, Progress
from impasto.shared import layout
from impasto.shared.errors import BadSettings, ObjectMissing, StoreRefused
from impasto.shared.metadata import OutputMetadata
from impasto.shared.store import ObjectInfo, ObjectStore

_DOWNLOADS: Final = 8
_HASHED_AT_ONCE_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class Fetched:
    """What a fetch brought. `already` were there with the right digest; `problems` name damaged results.

    `missing` counts pairs without a picture in the store: still to be done, failed or cancelled.
    """

    batch: str
    folder: Path
    fetched: int
    already: int
    bytes: int
    missing: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _One:
    """What came of one result; `read_bytes` were downloaded."""

    fetched: bool
    read_bytes: int


def fetch(
    store: ObjectStore,
    batch: str,
    total: int,
    folder: Path,
    on_progress: OnProgress | None = None,
    *,
    report: bool = True,
) -> Fetched:
    """Every result that is in the store now, as `<stem>.<ext>` and `<stem>.json`, the folders of a stem made,
    and with `report` the batch's report.

    Run again, it goes on where it stopped. Raises BadSettings for a folder that can't be written, and the
    store's errors when it does not answer.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"{folder} can't be made a folder: {error.strerror or error}") from error
    prefix = layout.outputs_prefix(batch)
    listed = list(store.list(prefix))
    sidecars = [info for info in listed if info.key.endswith(".json")]
    sizes: Counter[str] = Counter()
    for info in listed:
        sizes[info.key.rpartition(".")[0]] += info.size_bytes
    bytes_total = sizes.total()
    fetched = already = bytes_read = bytes_done = 0
    problems: list[str] = []
    for done, (info, answer) in enumerate(_results(store, prefix, folder, sidecars), start=1):
        if isinstance(answer, str):
            problems.append(answer)
        else:
            fetched += answer.fetched
            already += not answer.fetched
            bytes_read += answer.read_bytes
        bytes_done += sizes[info.key.removesuffix(".json")]
        if on_progress is not None:
            on_progress(Progress("outputs", done, len(sidecars), bytes_done, bytes_total))
    if report:
        _fetch_report(store, batch, folder)
    missing = max(0, total - len(sidecars))
    return Fetched(batch, folder, fetched, already, bytes_read, missing, tuple(problems))


def _results(
    store: ObjectStore, prefix: str, folder: Path, sidecars: list[ObjectInfo]
) -> Iterator[tuple[ObjectInfo, _One | str]]:
    """In order, a bounded number at a time; a damaged result is told as text."""
    under_way: deque[tuple[ObjectInfo, Future[_One | str]]] = deque()
    pool = ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="fetch")
    try:
        for info in sidecars:
            under_way.append((info, pool.submit(_fetch_one, store, prefix, folder, info.key)))
            if len(under_way) >= 4 * _DOWNLOADS:
                first, future = under_way.popleft()
                yield first, future.result()
        for info, future in under_way:
            yield info, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch_one(store: ObjectStore, prefix: str, folder: Path, metadata_key: str) -> _One | str:
    try:
        # A pair that ran twice may have its picture replaced between our two reads: then both are read again.
        for _ in range(_ATTEMPTS):
            one = _fetch_pair(store, prefix, folder, metadata_key)
            if one is not None:
                return one
    except ValidationError as error:
        return f"{metadata_key} is no metadata of an output: {error.errors()[0]['msg']}"
    except (ObjectMissing, StoreRefused) as error:
        return str(error)
    return f"the picture of {metadata_key} is damaged: it is not the one that its metadata tells of"


def _fetch_pair(store: ObjectStore, prefix: str, folder: Path, metadata_key: str) -> _One | None:
    """None when picture and metadata don't belong together."""
    data = store.get(metadata_key)
    metadata = OutputMetadata.model_validate_json(data)
    picture = _inside(folder, prefix, metadata.picture_key)
    sidecar = _inside(folder, prefix, metadata_key)
    if _sha256_of(picture) == metadata.picture_sha256:
        if _sha256_of(sidecar) != hashlib.sha256(data).hexdigest():
            _write(sidecar, data)
        return _One(False, 0)
    pixels = store.get(metadata.picture_key)
    if hashlib.sha256(pixels).hexdigest() != metadata.picture_sha256:
        return None
    _write(picture, pixels)
    _write(sidecar, data)
    return _One(True, len(pixels) + len(data))


def _inside(folder: Path, prefix: str, key: str) -> Path:
    """Where the key's object goes. What no output is called might leave the folder."""
    name = key.removeprefix(prefix)
    parts = name.split("/")
    if (
        not key.startswith(prefix)
        or not name.isprintable()
        or any(not part or part.startswith(".") or "\\" in part or ":" in part for part in parts)
    ):
        raise StoreRefused(f"{key!r} is no output of this batch: it is left where it is")
    return folder.joinpath(*parts)


def _sha256_of(path: Path) -> str | None:
    """None when there is no such file."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_HASHED_AT_ONCE_BYTES):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)  # noqa: PTH105 (path.replace reads the wrong way round)
    except OSError as error:
        raise BadSettings(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fetch_report(store: ObjectStore, batch: str, folder: Path) -> None:
    """The report lies there once the batch is over."""
    for extension in ("json", "csv"):
        try:
            data = store.get(layout.report_key(batch, extension))
        except ObjectMissing:
            continue
        _write(folder / f"report.{extension}", data)
