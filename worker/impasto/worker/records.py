"""What lies beside a picture: how it was made, from what, and what made it."""

from __future__ import annotations

import resource
import sys
from typing import Final

import torch

from impasto.shared.metadata import Losses, LossRecord, OutputMetadata, TimingsSeconds
from impasto.shared.pictures import EncodedPicture
from impasto.shared.settings import ENGINE_VERSION
from impasto.worker.engine import Network, StepLosses, StyleResult
from impasto.worker.versions import software
from impasto.worker.work import Work

CURVE_POINTS: Final = 100
"""At most so many evaluations are kept of a run's losses."""


def describe(
    work: Work, network: Network, result: StyleResult, picture_key: str, encoded: EncodedPicture, worker: str
) -> OutputMetadata:
    """The metadata of a picture that was put under that key."""
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
        worker=worker,
        software=software(),
        notes=(*work.inputs.notes, *encoded.notes, *result.notes),
        started_at=work.started_at,
        # Of two readings of a clock that was set meanwhile the difference would be of hours or below zero.
        finished_at=work.started_at + work.stopwatch.elapsed,
    )


def reuse(work: Work, made: OutputMetadata, picture_key: str, made_key: str) -> OutputMetadata:
    """The metadata of a copy under `picture_key` of what was made for another pair, told of at `made_key`."""
    return made.model_copy(
        update={
            "batch": work.batch,
            "pair": work.job.pair,
            "content": work.inputs.content.record(),
            "style": work.inputs.style.record(),
            "mask": work.inputs.mask.record() if work.inputs.mask is not None else None,
            "picture_key": picture_key,
            "attempts": work.attempt,
            "reused_from": made_key,
        }
    )


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
