"""Inputs checked, hashed and brought into the store: each read once, many at a time, few in memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Literal

from impasto.producer.sources import RAW_EXTENSIONS, Candidate, Rejected, extension_of, rejection
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadPicture, Permanent
from impasto.shared.jobs import InputRef
from impasto.shared.layout import InputList, input_key
from impasto.shared.names import SlugSet
from impasto.shared.pictures import FORMATS, decode
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import InputReader

_UPLOADS: Final = 8
_DECODES: Final = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Progress:
    """How far a long operation is, in inputs (or outputs, results, objects) and bytes."""

    stage: Literal["contents", "styles", "outputs", "results", "objects"]
    items: int
    items_total: int
    bytes: int
    bytes_total: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class _Checked:
    """A candidate that is a picture, where it lies in the end."""

    candidate: Candidate
    sha256: str
    size_bytes: int
    uri: str


@dataclass
class Collected:
    """One list of a batch. `refs` has None in the place of what was rejected, where places matter (zip)."""

    refs: list[InputRef | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    duplicates: int = 0


class Collector:
    """Brings inputs into a batch. `upload` False only checks them: for a dry run, or a certain refusal."""

    def __init__(
        self, deployment: Deployment, store: ObjectStore, reader: InputReader, *, upload: bool = True
    ) -> None:
        self._deployment = deployment
        self._store = store
        self._reader = reader
        self.upload = upload
        # A decoded picture takes many times its file: few of them at a time, however many uploads there are.
        self._decoding = threading.Semaphore(_DECODES)

    def collect(
        self,
        stage: InputList,
        candidates: Sequence[Candidate],
        *,
        keep_places: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Collected:
        """The candidates as inputs, in their order; equal bytes are one input unless `keep_places`.

        Raises the store's errors when it fails at large; what is wrong with one input is that input's.
        """
        collected = Collected()
        slugs = SlugSet()
        seen: set[str] = set()
        bytes_total = sum(candidate.size_bytes for candidate in candidates)
        bytes_done = 0
        for done, (candidate, answer) in enumerate(self._checked(candidates), start=1):
            bytes_done += candidate.size_bytes
            if isinstance(answer, Rejected):
                collected.rejected.append(answer)
                if keep_places:
                    collected.refs.append(None)
            elif answer.sha256 in seen and not keep_places:
                collected.duplicates += 1
            else:
                seen.add(answer.sha256)
                collected.refs.append(_ref(answer, slugs))
            if on_progress is not None:
                on_progress(Progress(stage, done, len(candidates), bytes_done, bytes_total))
        return collected

    def _checked(self, candidates: Iterable[Candidate]) -> Iterator[tuple[Candidate, _Checked | Rejected]]:
        """In order, with a bounded number under way."""
        under_way: deque[tuple[Candidate, Future[_Checked | Rejected]]] = deque()
        pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="collect")
        try:
            for candidate in candidates:
                under_way.append((candidate, pool.submit(self._check, candidate)))
                if len(under_way) >= 4 * _UPLOADS:
                    first, future = under_way.popleft()
                    yield first, future.result()
            for candidate, future in under_way:
                yield candidate, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, candidate: Candidate) -> _Checked | Rejected:
        try:
            with self._decoding:
                data = self._read(candidate)
                picture = decode(data, name=candidate.name, max_pixels=self._deployment.max_input_pixels)
                format = FORMATS[picture.format]
                del picture
        except (OSError, Permanent) as error:
            return rejection(candidate.name, error)
        sha256 = hashlib.sha256(data).hexdigest()
        if candidate.uri is not None:
            return _Checked(candidate, sha256, len(data), candidate.uri)
        key = input_key(sha256, format.extension)
        if self.upload:
            self._put(key, data, format.content_type)
        return _Checked(candidate, sha256, len(data), f"store:{key}")

    def _read(self, candidate: Candidate) -> bytes:
        extension = extension_of(candidate.name)
        if extension in RAW_EXTENSIONS:
            raise BadPicture(f"a camera's raw file (.{extension}) is not read: export it as TIFF or JPEG")
        limit_bytes = self._deployment.max_input_bytes
        if candidate.path is None:
            return self._reader.read(InputRef.model_validate(candidate.uri))
        with candidate.path.open("rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise BadPicture(f"it has more than the {limit_bytes:,} bytes allowed (IMPASTO_MAX_INPUT_BYTES)")
        return data

    def _put(self, key: str, data: bytes, content_type: str) -> None:
        there = self._store.head(key)
        if there is None or there.size_bytes != len(data):
            self._store.put(key, data, content_type=content_type)


def _ref(checked: _Checked, slugs: SlugSet) -> InputRef:
    name = checked.candidate.name
    return InputRef(
        uri=checked.uri,
        name=name,
        slug=slugs.give(name),
        sha256=checked.sha256,
        size_bytes=checked.size_bytes,
    )
