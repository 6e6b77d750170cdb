"""Which pairs of a batch lie in the store whole, whatever the ledger knows of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from pydantic import ValidationError

from impasto.producer.collect import OnProgress, Progress
from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ObjectMissing
from impasto.shared.jobs import BatchSpec, Content, StyleRef, fingerprint, weighted
from impasto.shared.metadata import BlendRecord, InputRecord, OutputMetadata
from impasto.shared.store import ObjectInfo

_READERS: Final = 16


def done_pairs(files: BatchFiles, spec: BatchSpec, on_progress: OnProgress | None) -> Iterator[int]:
    """Pairs whose picture lies there whole, with metadata of the fingerprint that they must have.

    Raises as `BatchFiles.spec`, and the store's other errors.
    """
    matrix = _Matrix(files, spec)
    prefix = layout.outputs_prefix(spec.batch)
    sizes = {info.key: info.size_bytes for info in files.store.list(prefix)}
    sidecars = [ObjectInfo(key, size) for key, size in sizes.items() if key.endswith(".json")]

    def pair_of(info: ObjectInfo) -> int | None:
        stem = info.key.removeprefix(prefix).removesuffix(".json")
        try:
            metadata = OutputMetadata.model_validate_json(files.store.get(info.key))
        except (ObjectMissing, ValidationError):
            return None
        whole = sizes.get(metadata.picture_key) == metadata.picture_bytes
        return matrix.pair(stem, metadata) if whole else None

    bytes_read, bytes_total = 0, sum(info.size_bytes for info in sidecars)
    for n, (info, pair) in enumerate(each(pair_of, sidecars, threads=_READERS), start=1):
        bytes_read += info.size_bytes
        if on_progress is not None:
            on_progress(Progress("results", n, len(sidecars), bytes_read, bytes_total))
        if pair is not None:
            yield pair


@dataclass(frozen=True, slots=True)
class _ContentDigests:
    """What a content's names and fingerprints need: a batch may have a million, so nothing more is kept."""

    slug: str
    path: str
    sha256: str | None
    has_mask: bool
    mask_sha256: str | None

    @classmethod
    def of(cls, content: Content) -> Self:
        mask = content.mask
        mask_sha256 = None if mask is None else mask.sha256
        return cls(content.slug, content.path, content.sha256, mask is not None, mask_sha256)


def _digests(style: StyleRef) -> tuple[tuple[str | None, float], ...]:
    return tuple((ref.sha256, weight) for ref, weight in weighted(style))


def _paintings(style: InputRecord | BlendRecord) -> tuple[InputRecord, ...]:
    return style.blend if isinstance(style, BlendRecord) else (style,)


class _Matrix:
    """From an output back to its pair."""

    def __init__(self, files: BatchFiles, spec: BatchSpec) -> None:
        contents = (files.content(spec.batch, i) for i in range(spec.contents))
        styles = (files.style(spec.batch, i) for i in range(spec.styles))
        self._spec = spec
        self._contents = [_ContentDigests.of(ref) for ref in contents]
        self._styles = [(ref.slug, _digests(ref)) for ref in styles]

    def pair(self, stem: str, metadata: OutputMetadata) -> int | None:
        """None when that pair's output is called otherwise, or is not the one that it should have."""
        try:
            content, style = self._spec.indices(metadata.pair)
        except IndexError:
            return None
        of_content, (style_slug, of_style) = self._contents[content], self._styles[style]
        if stem != self._spec.output_stem(of_content.slug, of_content.path, style_slug):
            return None
        made_from = _paintings(metadata.style)
        if len(made_from) != len(of_style) or (metadata.mask is None) == of_content.has_mask:
            return None
        # What lies in S3 may have been submitted by its address alone: then the metadata knows its digest.
        expected = fingerprint(
            of_content.sha256 or metadata.content.sha256,
            [
                (sha256 or record.sha256, weight)
                for (sha256, weight), record in zip(of_style, made_from, strict=True)
            ],
            self._spec.settings,
            mask_sha256=None if metadata.mask is None else of_content.mask_sha256 or metadata.mask.sha256,
        )
        return metadata.pair if metadata.fingerprint == expected else None
