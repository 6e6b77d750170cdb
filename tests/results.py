"""Results in a store as a worker leaves them, without the work."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from impasto.shared import layout
from impasto.shared.metadata import InputRecord, Losses, LossRecord, OutputMetadata, TimingsSeconds
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore


def put_result(store: ObjectStore, batch: str, stem: str, pixels: bytes, **overrides: Any) -> None:
    """A pair's picture and metadata; `overrides` are fields of the metadata."""
    made = metadata(batch, stem, pixels, **overrides)
    store.put(layout.picture_key(batch, stem, "png"), pixels, content_type="image/png")
    store.put(
        layout.metadata_key(batch, stem), made.model_dump_json().encode(), content_type="application/json"
    )


def metadata(batch: str, stem: str, pixels: bytes, **overrides: Any) -> OutputMetadata:
    """What lies beside such a picture; `overrides` are some of its fields."""
    picture = layout.picture_key(batch, stem, "png")
    record = InputRecord(
        uri="store:inputs/x.png", name="x", sha256="0" * 64, size_bytes=1, width_px=1, height_px=1
    )
    loss = LossRecord(step=1, scale_px=16, content=0, style=1, tv=0, total=1)
    settings = StyleSettings()
    fields: dict[str, Any] = {
        "batch": batch,
        "pair": 0,
        "content": record,
        "style": record,
        "settings": settings,
        "settings_digest": settings.digest(),
        "fingerprint": "f" * 64,
        "picture_key": picture,
        "picture_sha256": hashlib.sha256(pixels).hexdigest(),
        "picture_bytes": len(pixels),
        "width_px": 1,
        "height_px": 1,
        "network": "vgg19",
        "weights": "caffe",
        "weights_digest": "d",
        "engine_version": "1",
        "seed": 0,
        "steps": 1,
        "losses": Losses(first=loss, last=loss, curve=()),
        "timings_seconds": TimingsSeconds(),
        "device": "cpu",
        "precision": "float32",
        "peak_memory_bytes": 1,
        "attempts": 1,
        "worker": "w",
        "software": {},
        "started_at": datetime.now(UTC),
        "finished_at": datetime.now(UTC),
        **overrides,
    }
    return OutputMetadata(**fields)
