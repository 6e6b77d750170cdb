"""One pair from addresses to a picture in the store: fetch, decode, stylize, encode, put.

The picture is put before its metadata, and the ledger hears of it only after both: whoever sees "done" can
fetch both. It knows no queue; what ends a pair early is raised through `on_step`.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import structlog
import torch
from pydantic import BaseModel, ValidationError

from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import ObjectMissing, StoreRefused, Transient
from impasto.shared.jobs import PairJob
from impasto.shared.metadata import Losses, LossRecord, OutputMetadata, ResultPointer, TimingsSeconds
from impasto.shared.pictures import EncodedPicture, encode
from impasto.shared.settings import ENGINE_VERSION
from impasto.shared.store import ObjectStore
from impasto.worker.engine import Checkpoint, Network, StepLosses, StyleResult, TargetCache, stylize
from impasto.worker.inputs import Inputs, PairInputs
from impasto.worker.networks import Networks
from impasto.worker.patience import Patience
from impasto.worker.stopwatch import Stopwatch

log = structlog.get_logger()

CURVE_POINTS: Final = 100
"""At most so many evaluations are kept of a run's losses."""

OnStep = Callable[[StepLosses], None]


def software() -> dict[str, str]:
    """Versions of what makes the pixels, for metadata and `impasto doctor`."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {
        "python": python,
        **{name: version(name) for name in ("impasto", "torch", "torchvision", "pillow")},
    }


@dataclass(frozen=True)
class _Work:
    """One run of one pair: what it is, and who makes it from what."""

    job: PairJob
    batch: str
    attempt: int
    inputs: PairInputs
    started_at: datetime
    stopwatch: Stopwatch

    @property
    def fingerprint(self) -> str:
        return self.inputs.fingerprint(self.job.settings)

    @property
    def metadata_key(self) -> str:
        return layout.metadata_key(self.batch, self.job.output_stem)

    def object_metadata(self) -> dict[str, str]:
        """What the picture itself and its object in the store carry."""
        return {
            "fingerprint": self.fingerprint,
            "settings-digest": self.job.settings.digest(),
            "software": f"impasto {version('impasto')}",
        }


class Pipeline:
    """Makes pairs one after another, keeping networks, targets and recent inputs at hand."""

    def __init__(
        self,
        *,
        networks: Networks,
        store: ObjectStore,
        deployment: Deployment,
        patience: Patience,
        worker: str,
    ) -> None:
        self._networks = networks
        self._store = store
        self._inputs = Inputs(store, deployment)
        self._patiently = patience.with_store
        self._targets = TargetCache()
        self._worker = worker
        self._memory_budget_bytes = deployment.memory_budget_bytes

    def run(self, job: PairJob, *, batch: str, attempt: int, on_step: OnStep) -> OutputMetadata:
        """Make the pair's picture and put it with its metadata; one that is there already is left as it is.

        Raises what fetching, decoding, the engine and the store raise, each naming the input, and whatever
        `on_step` raises.
        """
        started_at, stopwatch = datetime.now(UTC), Stopwatch()
        inputs = self._patiently(lambda: self._inputs.read_pair(job, stopwatch))
        work = _Work(job, batch, attempt, inputs, started_at, stopwatch)
        existing = self._patiently(lambda: self._existing(work))
        kept = layout.checkpoint_key(batch, job.pair)
        if existing is not None:
            self._forget(kept)
            return existing
        network = self._networks.get(job.settings)
        result = stylize(
            inputs.content.picture.rgb,
            inputs.style.looks,
            job.settings,
            network,
            mask=inputs.mask_picture(),
            on_step=on_step,
            targets=self._targets,
            memory_budget_bytes=self._memory_budget_bytes,
            checkpoint=self._patiently(lambda: self._checkpoint(kept)),
            on_checkpoint=lambda checkpoint: self._keep(kept, checkpoint),
        )
        metadata = self._put(work, network, result)
        self._forget(kept)
        return metadata

    def _checkpoint(self, key: str) -> Checkpoint | None:
        """What the last worker that handed this pair back left."""
        if self._store.head(key) is None:
            return None
        checkpoint = Checkpoint.from_bytes(self._store.get(key))
        if checkpoint is not None:
            log.info("checkpoint.taken", step=len(checkpoint.losses))
        return checkpoint

    def _keep(self, key: str, checkpoint: Checkpoint) -> None:
        """One try only: the worker must stop, and without a checkpoint the pair merely starts anew."""
        try:
            self._store.put(key, checkpoint.to_bytes(), content_type="application/octet-stream")
        except (Transient, StoreRefused) as error:
            log.warning("checkpoint.not_kept", error=str(error))
        else:
            log.info("checkpoint.kept", step=len(checkpoint.losses))

    def _forget(self, key: str) -> None:
        try:
            self._store.delete(key)
        except (Transient, StoreRefused, ObjectMissing) as error:
            log.warning("checkpoint.not_removed", error=str(error))

    def _existing(self, work: _Work) -> OutputMetadata | None:
        """A worker that died between its puts and the ledger left the whole result behind."""
        try:
            metadata = OutputMetadata.model_validate_json(self._store.get(work.metadata_key))
        except (ObjectMissing, ValidationError):
            return None
        picture = self._store.head(metadata.picture_key)
        current = picture is not None and picture.metadata.get("fingerprint") == work.fingerprint
        return metadata if current and metadata.fingerprint == work.fingerprint else None

    def _put(self, work: _Work, network: Network, result: StyleResult) -> OutputMetadata:
        settings, stopwatch = work.job.settings, work.stopwatch
        with stopwatch.phase("encode"):
            encoded = encode(
                result.image,
                format=settings.format,
                quality=settings.quality,
                alpha=work.inputs.content.picture.alpha,
                metadata=work.object_metadata(),
            )
        picture_key = layout.picture_key(work.batch, work.job.output_stem, encoded.extension)

        def put() -> OutputMetadata:
            with stopwatch.phase("upload"):
                self._store.put(
                    picture_key,
                    encoded.data,
                    content_type=encoded.content_type,
                    metadata=work.object_metadata(),
                )
            metadata = self._metadata(work, network, result, picture_key, encoded)
            pointer = ResultPointer(picture_key=picture_key, metadata_key=work.metadata_key)
            self._put_json(work.metadata_key, metadata)
            self._put_json(layout.result_key(work.fingerprint), pointer)
            return metadata

        # As one: an order to stop that came between them would leave a picture without its metadata.
        return self._patiently(put)

    def _metadata(
        self, work: _Work, network: Network, result: StyleResult, picture_key: str, encoded: EncodedPicture
    ) -> OutputMetadata:
        settings = work.job.settings
        return OutputMetadata(
            batch=work.batch,
            pair=work.job.pair,
            content=work.inputs.content.record(),
            style=work.inputs.style.record(),
            mask=work.inputs.mask.record() if work.inputs.mask is not None else None,
            settings=settings,
            settings_digest=settings.digest(),
            fingerprint=work.fingerprint,
            picture_key=picture_key,
            picture_sha256=encoded.sha256,
            picture_bytes=len(encoded.data),
            width_px=result.image.width,
            height_px=result.image.height,
            network=network.architecture,
            weights=network.weights,
            weights_digest=network.weights_digest,
            engine_version=ENGINE_VERSION,
            seed=settings.seed,
            steps=result.steps,
            recoveries=result.recoveries,
            losses=summarise(result.losses),
            timings_seconds=TimingsSeconds(**result.timings, **work.stopwatch.seconds),
            device=result.device,
            precision=result.precision,
            peak_memory_bytes=_peak_memory_bytes(network),
            attempts=work.attempt,
            worker=self._worker,
            software=software(),
            notes=(*work.inputs.notes, *encoded.notes, *result.notes),
            started_at=work.started_at,
            finished_at=datetime.now(UTC),
        )

    def _put_json(self, key: str, record: BaseModel) -> None:
        body = record.model_dump_json(indent=2).encode()
        self._store.put(key, body, content_type="application/json")


def summarise(losses: list[StepLosses]) -> Losses:
    """First, last, and evenly spaced evaluations between them, both ends included."""
    records = [
        LossRecord(
            step=entry.step,
            scale_px=entry.scale_px,
            content=entry.content,
            style=entry.style,
            tv=entry.tv,
            total=entry.total,
        )
        for entry in losses
    ]
    points = min(CURVE_POINTS, len(records))
    places = sorted({round(i * (len(records) - 1) / max(1, points - 1)) for i in range(points)})
    return Losses(first=records[0], last=records[-1], curve=tuple(records[i] for i in places))


def _peak_memory_bytes(network: Network) -> int:
    """The device's peak in this process on CUDA, else the process's own, since it started."""
    if network.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(network.device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
