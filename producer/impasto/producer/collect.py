"""Inputs checked, hashed and brought into the store: each read once, many at a time, few in memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from impasto.producer.blends import BlendCandidate, StyleCandidate, of_blend
from impasto.producer.checked import Checked, CheckedBlend, CheckedContent, CheckedStyle, Kept
from impasto.producer.masks import without_content
from impasto.producer.sources import RAW_EXTENSIONS, Candidate, Rejected, extension_of, rejection
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadPicture, Permanent
from impasto.shared.jobs import Content, InputRef, StyleRef
from impasto.shared.layout import InputList, input_key
from impasto.shared.names import SlugSet
from impasto.shared.pictures import FORMATS, PictureFormat, as_mask, decode
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import InputReader

_UPLOADS: Final = 8
_DECODES: Final = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Progress:
    """How far a long operation is, in inputs (or outputs, results, objects) and bytes."""

    stage: Literal["contents", "styles", "outputs", "results", "objects", "thumbnails"]
    items: int
    items_total: int
    bytes: int
    bytes_total: int


OnProgress = Callable[[Progress], None]


_Ref = TypeVar("_Ref", Content, StyleRef)
_Source = TypeVar("_Source", bound=StyleCandidate)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class _Opened:
    """A candidate that is a picture, with its bytes."""

    candidate: Candidate
    data: bytes
    sha256: str
    format: PictureFormat
    size_px: tuple[int, int]


@dataclass
class Collected(Generic[_Ref]):
    """One list of a batch. `refs` has None in the place of what was rejected, where places matter (zip)."""

    refs: list[_Ref | None] = field(default_factory=list)
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

    def contents(
        self,
        candidates: Sequence[Candidate],
        *,
        keep_places: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Collected[Content]:
        """The candidates as contents with their masks, in their order; equal bytes (and masks) are one unless
        `keep_places`.

        Raises the store's errors when it fails at large; what is wrong with one input is that input's.
        """
        return self._collect(
            "contents", candidates, self._check_content, keep_places=keep_places, on_progress=on_progress
        )

    def styles(
        self,
        candidates: Sequence[StyleCandidate],
        *,
        keep_places: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Collected[StyleRef]:
        """The candidates as styles and blends; the rest as of `contents`."""
        return self._collect(
            "styles", candidates, self._check_style, keep_places=keep_places, on_progress=on_progress
        )

    def checked_contents(
        self, candidates: Sequence[Candidate], *, on_progress: OnProgress | None = None
    ) -> Iterator[CheckedContent | Rejected | None]:
        """What became of each, in order; None for what was left out. Raises as `contents`."""
        return self._checked("contents", candidates, self._check_content, on_progress)

    def checked_styles(
        self, candidates: Sequence[Candidate], *, on_progress: OnProgress | None = None
    ) -> Iterator[CheckedStyle | CheckedBlend | Rejected | None]:
        """The same of styles."""
        return self._checked("styles", candidates, self._check_style, on_progress)

    def _collect(
        self,
        stage: InputList,
        candidates: Sequence[_Source],
        check: Callable[[_Source], Checked[_Ref] | Rejected],
        *,
        keep_places: bool,
        on_progress: OnProgress | None,
    ) -> Collected[_Ref]:
        collected: Collected[_Ref] = Collected()
        slugs = SlugSet()
        seen: set[object] = set()
        for answer in self._checked(stage, candidates, check, on_progress):
            if answer is None or isinstance(answer, Rejected):
                if answer is not None:
                    collected.rejected.append(answer)
                if keep_places:
                    collected.refs.append(None)
            elif answer.identity in seen and not keep_places:
                collected.duplicates += 1
            else:
                seen.add(answer.identity)
                collected.refs.append(answer.ref(slugs))
        return collected

    def _checked(
        self,
        stage: InputList,
        candidates: Sequence[_Source],
        check: Callable[[_Source], _Answer | Rejected],
        on_progress: OnProgress | None,
    ) -> Iterator[_Answer | Rejected | None]:
        bytes_total = sum(map(_size_bytes, candidates))
        bytes_done = 0
        for done, (candidate, answer) in enumerate(_each(candidates, check), start=1):
            bytes_done += _size_bytes(candidate)
            yield answer
            if on_progress is not None:
                on_progress(Progress(stage, done, len(candidates), bytes_done, bytes_total))

    def _check_content(self, candidate: Candidate) -> CheckedContent | Rejected:
        try:
            content = self._open(candidate)
        except (OSError, Permanent) as error:
            return rejection(candidate.name, error)
        if candidate.mask is None:
            return CheckedContent(self._keep(content), None)
        try:
            mask = self._open(candidate.mask, mask_of=content.size_px)
        except (OSError, Permanent) as error:
            why = rejection(candidate.mask.name, error)
            return without_content(why.input, why.error, [candidate.name])
        return CheckedContent(self._keep(content), self._keep(mask))

    def _check_style(self, candidate: StyleCandidate) -> CheckedStyle | CheckedBlend | Rejected:
        if isinstance(candidate, BlendCandidate):
            return self._check_blend(candidate)
        try:
            return CheckedStyle(self._keep(self._open(candidate)))
        except (OSError, Permanent) as error:
            return rejection(candidate.name, error)

    def _check_blend(self, blend: BlendCandidate) -> CheckedBlend | Rejected:
        paintings: list[tuple[Kept, float]] = []
        for candidate, weight in blend.paintings:
            try:
                paintings.append((self._keep(self._open(candidate)), weight))
            except (OSError, Permanent) as error:
                return of_blend(blend.name, candidate.name, rejection(candidate.name, error).error)
        return CheckedBlend(blend.name, tuple(paintings))

    def _open(self, candidate: Candidate, *, mask_of: tuple[int, int] | None = None) -> _Opened:
        """Read and judged; with `mask_of` as the mask of a content of that (width, height)."""
        with self._decoding:
            data = self._read(candidate)
            picture = decode(data, name=candidate.name, max_pixels=self._deployment.max_input_pixels)
            if mask_of is not None:
                as_mask(picture, name=candidate.name, size=mask_of)
            size_px = (picture.width, picture.height)
            format = FORMATS[picture.format]
            del picture
        return _Opened(candidate, data, hashlib.sha256(data).hexdigest(), format, size_px)

    def _read(self, candidate: Candidate) -> bytes:
        extension = extension_of(candidate.name)
        if extension in RAW_EXTENSIONS:
            raise BadPicture(
                f"a camera's raw file (.{extension}) is not supported: export it as JPEG or TIFF first"
            )
        limit_bytes = self._deployment.max_input_bytes
        if candidate.path is None:
            return self._reader.read(InputRef.model_validate(candidate.uri))
        with candidate.path.open("rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise BadPicture(f"it has more than the {limit_bytes:,} bytes allowed (IMPASTO_MAX_INPUT_BYTES)")
        return data

    def _keep(self, opened: _Opened) -> Kept:
        """Uploaded, unless it lies in S3 or in the store already."""
        candidate = opened.candidate
        uri = candidate.uri
        if uri is None:
            key = input_key(opened.sha256, opened.format.extension)
            uri = f"store:{key}"
            if self.upload:
                self._put(key, opened.data, opened.format.content_type)
        return Kept(candidate.called, uri, opened.sha256, len(opened.data))

    def _put(self, key: str, data: bytes, content_type: str) -> None:
        there = self._store.head(key)
        if there is None or there.size_bytes != len(data):
            self._store.put(key, data, content_type=content_type)


def _each(
    candidates: Iterable[_Source], check: Callable[[_Source], _Answer | Rejected]
) -> Iterator[tuple[_Source, _Answer | Rejected | None]]:
    """In order, with a bounded number under way; None for what was left out before."""
    under_way: deque[tuple[_Source, Future[_Answer | Rejected] | None]] = deque()
    pool = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="collect")
    try:
        for candidate in candidates:
            under_way.append((candidate, None if candidate.left_out else pool.submit(check, candidate)))
            if len(under_way) >= 4 * _UPLOADS:
                first, future = under_way.popleft()
                yield first, None if future is None else future.result()
        for candidate, future in under_way:
            yield candidate, None if future is None else future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _size_bytes(candidate: StyleCandidate) -> int:
    mask = candidate.mask if isinstance(candidate, Candidate) else None
    return candidate.size_bytes + (0 if mask is None else mask.size_bytes)
