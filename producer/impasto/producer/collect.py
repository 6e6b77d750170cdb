"""Inputs checked, hashed and brought into the store: each read once, many at a time, few in memory."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Generic, Literal, TypeVar

from impasto.producer.blends import BlendCandidate, StyleCandidate, of_blend
from impasto.producer.checked import Checked, CheckedBlend, CheckedContent, CheckedStyle, Kept
from impasto.producer.known_files import FileState, KnownFile, KnownFiles
from impasto.producer.masks import without_content
from impasto.producer.parallel import each
from impasto.producer.sources import RAW_EXTENSIONS, Candidate, Rejected, extension_of, rejection
from impasto.producer.uploads import Uploads
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadPicture, ImpastoError, InputRefused, Permanent, StoreRefused
from impasto.shared.jobs import Content, InputRef, StyleRef
from impasto.shared.layout import InputList, input_key
from impasto.shared.names import SlugSet
from impasto.shared.output_names import folders_of
from impasto.shared.pictures import FORMATS, PictureFormat, as_mask, decode
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import InputReader

_UPLOADS: Final = 8
_DECODES: Final = min(4, os.cpu_count() or 1)
_KNOWN_FILES: Final = Path("cache") / "inputs-1.sqlite"


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
    """A candidate that is a picture, with its bytes unless they were known without reading."""

    candidate: Candidate
    data: bytes | None
    size_bytes: int
    sha256: str
    format: PictureFormat
    size_px: tuple[int, int]


@dataclass
class Collected(Generic[_Ref]):
    """One list of a batch. `refs` has None in the place of what was rejected, where places matter (zip).

    `sizes_px` are the (width, height) of each, None of what is no single picture.
    """

    refs: list[_Ref | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    duplicates: int = 0
    sizes_px: list[tuple[int, int] | None] = field(default_factory=list)


@dataclass(frozen=True)
class Tally:
    """What collecting took: inputs read, inputs known from an earlier reading, and objects put into the store
    or found there. Before a submission (a dry run, an estimate) `uploaded` are those that would be put.

    `problem` is why the store could not be asked for them.
    """

    read: int = 0
    known: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    there: int = 0
    problem: str | None = None


class _NotTaken(Exception):
    """The store refuses an upload, or to tell what it has, which is no fault of the input."""

    def __init__(self, error: StoreRefused) -> None:
        super().__init__(str(error))
        self.error = error


class Collector:
    """Brings inputs into a batch.

    `upload` False only checks them: for a dry run, or a certain refusal. `compare` then looks up which of
    them are in the store. `recheck` reads every file, whatever is known of it. `paths` keeps the contents'
    folders, for the names of their outputs.
    """

    def __init__(
        self,
        deployment: Deployment,
        store: ObjectStore,
        reader: InputReader,
        *,
        upload: bool = True,
        compare: bool = False,
        recheck: bool = False,
        paths: bool = False,
    ) -> None:
        self._deployment = deployment
        self._store = store
        self._reader = reader
        self.upload = upload
        self._compare = compare
        self._recheck = recheck
        self._paths = paths
        self._known = KnownFiles(deployment.state / _KNOWN_FILES)
        self._uploads = Uploads(store)
        # A decoded picture takes many times its file: few of them at a time, however many uploads there are.
        self._decoding = threading.Semaphore(_DECODES)
        self._counting = threading.Lock()
        self._tally = Tally()

    @property
    def tally(self) -> Tally:
        """So far."""
        return self._tally

    def contents(
        self,
        candidates: Sequence[Candidate],
        *,
        keep_places: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Collected[Content]:
        """The candidates as contents with their masks, in their order; equal bytes (and masks) are one unless
        `keep_places`.

        Raises the store's errors when it fails at large, and Transient when the disk or this machine does;
        what is wrong with one input is that input's.
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
        self, candidates: Sequence[StyleCandidate], *, on_progress: OnProgress | None = None
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
        sizes: dict[tuple[int, int], tuple[int, int]] = {}
        for answer in self._checked(stage, candidates, check, on_progress):
            if answer is None or isinstance(answer, Rejected):
                if answer is not None:
                    collected.rejected.append(answer)
                if keep_places:
                    collected.refs.append(None)
                    collected.sizes_px.append(None)
            elif answer.identity in seen and not keep_places:
                collected.duplicates += 1
            else:
                seen.add(answer.identity)
                collected.refs.append(answer.ref(slugs))
                # A camera's pictures have few sizes: each is kept once.
                size_px = answer.size_px
                collected.sizes_px.append(size_px and sizes.setdefault(size_px, size_px))
        return collected

    def _checked(
        self,
        stage: InputList,
        candidates: Sequence[_Source],
        check: Callable[[_Source], _Answer | Rejected],
        on_progress: OnProgress | None,
    ) -> Iterator[_Answer | Rejected | None]:
        def look(candidate: _Source) -> _Answer | Rejected | None:
            return None if candidate.left_out else check(candidate)

        bytes_total = sum(map(_size_bytes, candidates))
        bytes_done = 0
        try:
            self._asking_the_store(lambda: self._uploads.expect(len(candidates)))
            with self._known:
                for done, (candidate, answer) in enumerate(each(look, candidates, threads=_UPLOADS), start=1):
                    bytes_done += _size_bytes(candidate)
                    yield answer
                    if on_progress is not None:
                        on_progress(Progress(stage, done, len(candidates), bytes_done, bytes_total))
        except _NotTaken as refusal:
            raise refusal.error from refusal

    def _check_content(self, candidate: Candidate) -> CheckedContent | Rejected:
        path = folders_of(candidate.folders) if self._paths else ""
        mask: Kept | Rejected | None = None
        try:
            content = self._open(candidate)
            if candidate.mask is not None:
                mask = self._check_mask(candidate.mask, content)
            if isinstance(mask, Rejected):
                return mask
            return CheckedContent(self._keep(content), mask, path)
        except (OSError, Permanent) as error:
            return rejection(candidate.name, error)

    def _check_mask(self, mask: Candidate, content: _Opened) -> Kept | Rejected:
        try:
            return self._keep(self._open(mask, mask_of=content.size_px))
        except (OSError, Permanent) as error:
            why = rejection(mask.name, error)
            return without_content(why.input, why.error, [content.candidate.name])

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
        """Read and judged, or known; with `mask_of` as the mask of a content of that (width, height)."""
        known = self._recognised(candidate, mask_of)
        if known is not None:
            self._count(known=1)
            return known
        with self._decoding:
            read_at, before = time.time(), _state_of(candidate.path)
            data = self._read(candidate)
            self._count(read=1)
            after = _state_of(candidate.path)
            picture = decode(data, name=candidate.name, max_pixels=self._deployment.max_input_pixels)
            if mask_of is not None:
                as_mask(picture, name=candidate.name, size=mask_of)
            size_px = (picture.width, picture.height)
            format = FORMATS[picture.format]
            del picture
        sha256 = hashlib.sha256(data).hexdigest()
        if candidate.path is not None and before is not None and before == after:
            judged = KnownFile(sha256, format.name, size_px, is_mask=mask_of is not None)
            self._known.keep(candidate.path, before, read_at, judged)
        return _Opened(candidate, data, len(data), sha256, format, size_px)

    def _recognised(self, candidate: Candidate, mask_of: tuple[int, int] | None) -> _Opened | None:
        """What is as it was when it was read before, and within the limits of now."""
        state = None if self._recheck else _state_of(candidate.path)
        if candidate.path is None or state is None:
            return None
        known = self._known.find(candidate.path, state)
        if (
            known is None
            or known.format not in FORMATS
            or (mask_of is not None and not (known.is_mask and known.size_px == mask_of))
            or state.size_bytes > self._deployment.max_input_bytes
            or known.size_px[0] * known.size_px[1] > self._deployment.max_input_pixels
        ):
            return None
        return _Opened(candidate, None, state.size_bytes, known.sha256, FORMATS[known.format], known.size_px)

    def _read(self, candidate: Candidate) -> bytes:
        if candidate.picture is not None and not candidate.picture.is_file:
            return self._bounded(candidate.picture.to_bytes())
        extension = extension_of(candidate.name)
        if extension in RAW_EXTENSIONS:
            raise BadPicture(
                f"a camera's raw file (.{extension}) is not supported: export it as JPEG or TIFF first"
            )
        if candidate.picture is not None:
            return self._bounded(candidate.picture.to_bytes())
        if candidate.path is None:
            return self._reader.read(InputRef.model_validate(candidate.uri))
        with candidate.path.open("rb") as file:
            return self._bounded(file.read(self._deployment.max_input_bytes + 1))

    def _bounded(self, data: bytes) -> bytes:
        limit_bytes = self._deployment.max_input_bytes
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
            self._asking_the_store(lambda: self._bring(key, opened))
        return Kept(candidate.called, uri, opened.sha256, opened.size_bytes, opened.size_px)

    def _asking_the_store(self, ask: Callable[[], None]) -> None:
        """Where nothing is uploaded, a store that does not answer is no reason to end."""
        if self.upload:
            try:
                ask()
            except StoreRefused as error:
                raise _NotTaken(error) from error
        elif self._compare and self._tally.problem is None:
            try:
                ask()
            except ImpastoError as error:
                self._count(problem=str(error))

    def _bring(self, key: str, opened: _Opened) -> None:
        def put() -> None:
            if not self.upload:
                return
            data = self._again(opened) if opened.data is None else opened.data
            self._store.put(key, data, content_type=opened.format.content_type)

        match self._uploads.put_once(key, opened.size_bytes, put):
            case "put":
                self._count(uploaded=1, uploaded_bytes=opened.size_bytes)
            case "there":
                self._count(there=1)

    def _again(self, opened: _Opened) -> bytes:
        """The bytes of a file that was known without reading. Raises InputRefused when they are others."""
        data = self._read(opened.candidate)
        if hashlib.sha256(data).hexdigest() != opened.sha256:
            if opened.candidate.path is not None:
                self._known.forget(opened.candidate.path)
            raise InputRefused("it changed while it was looked at: submit it again")
        self._count(read=1, known=-1)
        return data

    def _count(self, *, problem: str | None = None, **more: int) -> None:
        with self._counting:
            counts = {name: getattr(self._tally, name) + count for name, count in more.items()}
            self._tally = replace(self._tally, **counts, problem=problem or self._tally.problem)


def _state_of(path: Path | None) -> FileState | None:
    """None for what is no file, or is not there."""
    try:
        return None if path is None else FileState.of(path.stat())
    except OSError:
        return None


def _size_bytes(candidate: StyleCandidate) -> int:
    mask = candidate.mask if isinstance(candidate, Candidate) else None
    return candidate.size_bytes + (0 if mask is None else mask.size_bytes)
