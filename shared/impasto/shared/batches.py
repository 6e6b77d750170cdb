"""A batch in the store: its spec and its two lists, and any pair of it as a job.

The lists are kept in chunks, so that writing a million inputs is a few hundred parallel puts and reading one
pair's inputs is one small read, cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from impasto.shared import layout
from impasto.shared.errors import Damaged, ImpastoError, ObjectMissing, UnknownVersion
from impasto.shared.jobs import LINES_A_CHUNK, BatchSpec, Content, InputRef, PairJob, StyleRef, WireStyle
from impasto.shared.store import ObjectStore

_CACHED_SPECS = 64
_CACHED_CHUNKS = 16
_UPLOAD_THREADS = 8
_CONTENT_LINE: Final = TypeAdapter(Content)
_STYLE_LINE: Final[TypeAdapter[StyleRef]] = TypeAdapter(WireStyle)
_SIGNS_OF_ANOTHER_VERSION = frozenset({"extra_forbidden", "literal_error", "missing"})

_Line = TypeVar("_Line", Content, StyleRef)


class BatchFiles:
    """Reads and writes the files of batches in one store. Safe to share between threads."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._cached_spec = lru_cache(_CACHED_SPECS)(self._read_spec)
        self._cached_contents = lru_cache(_CACHED_CHUNKS)(self._read_contents)
        self._cached_styles = lru_cache(_CACHED_CHUNKS)(self._read_styles)

    def write(self, spec: BatchSpec, contents: Iterable[InputRef], styles: Iterable[StyleRef]) -> None:
        """Put both lists, then the spec: whoever finds the spec finds all of it.

        Raises StoreUnavailable or StoreRefused; ValueError when a list is not as long as the spec says.
        """
        lists: tuple[tuple[layout.InputList, Iterable[StyleRef], int], ...] = (
            ("contents", contents, spec.contents),
            ("styles", styles, spec.styles),
        )
        with ThreadPoolExecutor(_UPLOAD_THREADS) as pool:
            for name, refs, expected in lists:
                written = self._write_list(pool, spec.batch, name, refs)
                if written != expected:
                    raise ValueError(f"batch {spec.batch}: spec says {expected} {name}, {written} were given")
        self._put(layout.spec_key(spec.batch), spec.model_dump_json(indent=2), "application/json")

    def _write_list(
        self, pool: ThreadPoolExecutor, batch: str, name: layout.InputList, refs: Iterable[StyleRef]
    ) -> int:
        remaining = iter(refs)
        written = 0
        under_way: list[Future[None]] = []
        for chunk, lines in enumerate(iter(lambda: list(islice(remaining, LINES_A_CHUNK)), [])):
            text = "".join(f"{ref.model_dump_json()}\n" for ref in lines)
            under_way.append(
                pool.submit(self._put, layout.chunk_key(batch, name, chunk), text, "application/jsonl")
            )
            written += len(lines)
            if len(under_way) >= 2 * _UPLOAD_THREADS:
                under_way.pop(0).result()
        for future in under_way:
            future.result()
        return written

    def _put(self, key: str, text: str, content_type: str) -> None:
        self.store.put(key, text.encode(), content_type=content_type)

    def spec(self, batch: str) -> BatchSpec:
        """Raises ObjectMissing when the store knows no such batch, Damaged when its spec is no spec,
        UnknownVersion when another version of Impasto wrote it, and the store's own errors.
        """
        return self._cached_spec(batch)

    def content(self, batch: str, index: int) -> Content:
        """The batch's content of that place, with its mask. Raises as `spec`."""
        return self._line(self._cached_contents, batch, "contents", index)

    def style(self, batch: str, index: int) -> StyleRef:
        """The batch's style of that place. Raises as `spec`."""
        return self._line(self._cached_styles, batch, "styles", index)

    def job(self, batch: str, pair: int) -> PairJob:
        """The pair as a message. Raises as `spec`, and IndexError outside the batch."""
        spec = self.spec(batch)
        content_place, style_place = spec.indices(pair)
        content, style = self.content(batch, content_place), self.style(batch, style_place)
        return PairJob(
            batch=batch,
            pair=pair,
            content=content.picture(),
            style=style,
            mask=content.mask,
            settings=spec.settings,
            output=spec.output(content.slug, content.path, style.slug),
        )

    def jobs(self, batch: str) -> Iterator[PairJob]:
        """All pairs of the batch, in order."""
        for pair in range(self.spec(batch).total):
            yield self.job(batch, pair)

    def _line(
        self,
        read_chunk: Callable[[str, int], list[_Line]],
        batch: str,
        name: layout.InputList,
        index: int,
    ) -> _Line:
        chunk, line = divmod(index, LINES_A_CHUNK)
        refs = read_chunk(batch, chunk)
        if line >= len(refs):
            raise Damaged(f"{layout.chunk_key(batch, name, chunk)} is shorter than the batch's spec says")
        return refs[line]

    def _read_spec(self, batch: str) -> BatchSpec:
        key = layout.spec_key(batch)
        try:
            return BatchSpec.model_validate_json(self.store.get(key))
        except ObjectMissing as error:
            raise ObjectMissing(
                f"{key} is not in {self.store.url}: the batch was purged or never written"
            ) from error
        except ValidationError as error:
            raise self._unreadable(key, error) from error

    def _read_contents(self, batch: str, chunk: int) -> list[Content]:
        return self._read_chunk(layout.chunk_key(batch, "contents", chunk), _CONTENT_LINE)

    def _read_styles(self, batch: str, chunk: int) -> list[StyleRef]:
        return self._read_chunk(layout.chunk_key(batch, "styles", chunk), _STYLE_LINE)

    def _read_chunk(self, key: str, form: TypeAdapter[_Line]) -> list[_Line]:
        try:
            return [form.validate_json(line) for line in self.store.get(key).splitlines()]
        except ValidationError as error:
            raise self._unreadable(key, error) from error

    def _unreadable(self, key: str, error: ValidationError) -> ImpastoError:
        """Damage won't pass; a file of a newer Impasto waits for a worker that can read it."""
        first = error.errors()[0]
        if first["type"] in _SIGNS_OF_ANOTHER_VERSION:
            where = ".".join(map(str, first["loc"]))
            return UnknownVersion(
                f"{key} in {self.store.url} was written by another version of Impasto "
                f"({where}: {first['msg']}): run the same version everywhere"
            )
        return Damaged(f"{key} in {self.store.url} is damaged: {first['msg']}")
