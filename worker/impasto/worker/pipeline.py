"""One pair from addresses to a picture in the store: fetch, decode, stylize, encode, put.

Three stages, each safe to run beside the others for another pair, but none beside itself. The picture is put
before its metadata, and the ledger hears of it only after both: whoever sees "done" can fetch both. It knows
no queue; what ends a pair early is raised through `on_step` and `patiently`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import LeaseLost, ObjectMissing, Stopped, StoreRefused, Transient
from impasto.shared.jobs import PairJob
from impasto.shared.metadata import OutputMetadata, ResultPointer
from impasto.shared.pictures import EncodedPicture, encode
from impasto.shared.store import ObjectStore
from impasto.worker.engine import Checkpoint, Network, StepLosses, StyleResult, TargetCache, stylize
from impasto.worker.inputs import Inputs
from impasto.worker.networks import Networks
from impasto.worker.patience import Patiently
from impasto.worker.records import describe, reuse
from impasto.worker.settling import one_line
from impasto.worker.stopwatch import Stopwatch
from impasto.worker.work import Work

log = structlog.get_logger()

OnStep = Callable[[StepLosses], None]

LARGEST_CHECKPOINT_BYTES: Final = 1_000_000_000
"""Larger ones are not made: writing one takes as much memory once more and minutes of a stop, and S3 takes no
more than 5 GiB at once."""


@dataclass(frozen=True)
class Fetched:
    """A pair that only waits for the device."""

    work: Work
    checkpoint: Checkpoint | None
    left_behind: bool
    """Whether the last worker left a checkpoint, readable or not, that must go once the pair is done."""


@dataclass(frozen=True)
class Computed:
    """A pair whose picture is made and not yet in the store."""

    work: Work
    network: Network
    result: StyleResult
    left_behind: bool


@dataclass(frozen=True)
class Encoded:
    """A pair whose picture only has to be put."""

    work: Work
    network: Network
    result: StyleResult
    left_behind: bool
    picture: EncodedPicture


class Pipeline:
    """Makes pairs, keeping networks, targets and recent inputs at hand."""

    def __init__(
        self, *, networks: Networks, store: ObjectStore, deployment: Deployment, worker: str
    ) -> None:
        self._networks = networks
        self._store = store
        self._inputs = Inputs(store, deployment)
        self._targets = TargetCache()
        self._worker = worker
        self._memory_budget_bytes = deployment.memory_budget_bytes
        self._reuses = deployment.reuse_results

    def fetch(
        self, job: PairJob, *, batch: str, attempt: int, patiently: Patiently
    ) -> Fetched | OutputMetadata:
        """The pair's inputs, decoded; or its metadata, when the very result is in the store already.

        Raises what fetching, decoding and the store raise, each naming the input.
        """
        started_at, stopwatch = datetime.now(UTC), Stopwatch()
        inputs = patiently(lambda: self._inputs.read_pair(job, stopwatch))
        work = Work(job, batch, attempt, inputs, started_at, stopwatch)
        existing = patiently(lambda: self._left_whole(work) or self._reused(work))
        if existing is not None:
            self._forget(work.checkpoint_key, patiently)
            return existing
        left = patiently(lambda: self._left_behind(work.checkpoint_key))
        return Fetched(work, None if left is None else self._checkpoint(left), left is not None)

    def compute(self, fetched: Fetched, *, on_step: OnStep) -> Computed:
        """The picture. Raises what the engine raises, and whatever `on_step` raises."""
        work = fetched.work
        network = self._networks.get(work.job.settings)
        result = stylize(
            work.inputs.content.picture.rgb,
            work.inputs.style.looks,
            work.job.settings,
            network,
            mask=work.inputs.mask_picture(),
            on_step=on_step,
            targets=self._targets,
            memory_budget_bytes=self._memory_budget_bytes,
            checkpoint=fetched.checkpoint,
            on_checkpoint=lambda checkpoint: self._keep(work.checkpoint_key, checkpoint),
        )
        return Computed(work, network, result, fetched.left_behind)

    def encode(self, computed: Computed) -> Encoded:
        """The picture as a file's bytes."""
        work, result = computed.work, computed.result
        settings = work.job.settings
        with work.stopwatch.phase("encode"):
            picture = encode(
                result.image,
                format=settings.format,
                quality=settings.quality,
                alpha=work.inputs.content.picture.alpha,
                metadata=work.object_metadata(),
                exif=work.inputs.content.picture.exif.chosen(settings.exif),
            )
        return Encoded(work, computed.network, result, computed.left_behind, picture)

    def put(self, encoded: Encoded, *, patiently: Patiently, to_the_end: Patiently) -> OutputMetadata:
        """Picture and metadata into the store. Raises the store's errors.

        The lease must just have been renewed. `to_the_end` heeds no order to the pair: one that came between
        the puts would leave a picture without its metadata, or beside that of a worker whose bytes differ.
        """
        work, picture = encoded.work, encoded.picture
        picture_key = layout.picture_key(work.batch, work.job.output_stem, picture.extension)
        begun = False

        def put_picture() -> None:
            nonlocal begun
            begun = True
            with work.stopwatch.phase("upload"):
                self._store.put(
                    picture_key,
                    picture.data,
                    content_type=picture.content_type,
                    metadata=work.object_metadata(),
                )

        def put_metadata() -> OutputMetadata:
            metadata = describe(work, encoded.network, encoded.result, picture_key, picture, self._worker)
            self._put_json(work.metadata_key, metadata)
            self._put_pointer(work, picture_key)
            return metadata

        try:
            patiently(put_picture)
        except LeaseLost:
            if not begun:
                raise
            # A put that failed may have arrived all the same.
            to_the_end(put_picture)
        metadata = to_the_end(put_metadata)
        if encoded.left_behind:
            self._forget(work.checkpoint_key, patiently)
        return metadata

    def _left_behind(self, key: str) -> bytes | None:
        """What the last worker that handed this pair back left."""
        try:
            return self._store.get(key)
        except ObjectMissing:
            return None

    def _checkpoint(self, data: bytes) -> Checkpoint | None:
        checkpoint = Checkpoint.from_bytes(data)
        if checkpoint is not None:
            log.info("checkpoint.taken", step=len(checkpoint.losses))
        return checkpoint

    def _keep(self, key: str, checkpoint: Checkpoint) -> None:
        """One try only, whatever goes wrong: the worker must stop, and without a checkpoint the pair merely
        starts anew.
        """
        if checkpoint.size_bytes > LARGEST_CHECKPOINT_BYTES:
            log.warning("checkpoint.too_large", bytes=checkpoint.size_bytes, limit=LARGEST_CHECKPOINT_BYTES)
            return
        try:
            self._store.put(key, checkpoint.to_bytes(), content_type="application/octet-stream")
        except Exception as error:
            log.warning("checkpoint.not_kept", error=one_line(error))
        else:
            log.info("checkpoint.kept", step=len(checkpoint.losses))

    def _forget(self, key: str, patiently: Patiently) -> None:
        """The result is in the store: nothing that goes wrong here, no order to stop either, undoes it."""
        try:
            patiently(lambda: self._store.delete(key))
        except (Transient, StoreRefused, ObjectMissing, Stopped) as error:
            log.warning("checkpoint.not_removed", error=str(error))

    def _left_whole(self, work: Work) -> OutputMetadata | None:
        """A worker that died between its puts and the ledger left the whole result behind."""
        return self._current(work.metadata_key, work.fingerprint)

    def _reused(self, work: Work) -> OutputMetadata | None:
        """The same result, made for another pair and copied to where this one's belongs.

        Each keeps its own, so either batch may be purged. Where anything is amiss with the other, None: the
        pair is made, and its result is the one that is found from then on.
        """
        made_key = self._made_elsewhere(work) if self._reuses else None
        made = None if made_key is None else self._current(made_key, work.fingerprint)
        if made_key is None or made is None:
            return None
        if not self._networks.vouches_for(work.job.settings, made.weights_digest):
            return None
        extension = made.picture_key.rpartition(".")[2]
        picture_key = layout.picture_key(work.batch, work.job.output_stem, extension)
        try:
            self._store.copy(made.picture_key, picture_key)
        except (ObjectMissing, StoreRefused) as error:
            log.warning("result.not_reused", key=made.picture_key, error=str(error))
            return None
        metadata = reuse(work, made, picture_key, made_key)
        self._put_json(work.metadata_key, metadata)
        # To the newest copy: the oldest batches are the first to be purged.
        self._put_pointer(work, picture_key)
        log.info("result.reused", key=made.picture_key)
        return metadata

    def _made_elsewhere(self, work: Work) -> str | None:
        """The metadata's key of another pair with this pair's fingerprint."""
        try:
            found = ResultPointer.model_validate_json(self._store.get(layout.result_key(work.fingerprint)))
        except (ObjectMissing, ValidationError):
            return None
        return found.metadata_key if found.metadata_key != work.metadata_key else None

    def _current(self, metadata_key: str, fingerprint: str) -> OutputMetadata | None:
        """The metadata, when its picture is there and both are of that fingerprint."""
        try:
            metadata = OutputMetadata.model_validate_json(self._store.get(metadata_key))
            picture = self._store.head(metadata.picture_key)
        except (ObjectMissing, ValidationError, StoreRefused):
            return None
        current = picture is not None and picture.metadata.get("fingerprint") == fingerprint
        return metadata if current and metadata.fingerprint == fingerprint else None

    def _put_pointer(self, work: Work, picture_key: str) -> None:
        pointer = ResultPointer(picture_key=picture_key, metadata_key=work.metadata_key)
        self._put_json(layout.result_key(work.fingerprint), pointer)

    def _put_json(self, key: str, record: BaseModel) -> None:
        body = record.model_dump_json(indent=2).encode()
        self._store.put(key, body, content_type="application/json")
