"""Batches that are over, or nearly, made by hand: what a gallery shows, without the work."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from PIL import Image

import results
from impasto.producer.connection import Connection
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.deployment import Deployment
from impasto.shared.jobs import BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening, Failure, Lease
from impasto.shared.ledger.memory import MemoryLedger
from impasto.shared.metadata import InputRecord, Losses, LossRecord
from impasto.shared.names import SlugSet
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.folder import FolderStore

BATCH: Final = "june-abc234"
BEGAN: Final = datetime(2026, 6, 1, 2, 0, tzinfo=UTC)


def _loss(step: int) -> LossRecord:
    return LossRecord(step=step, scale_px=36, content=0.1, style=1 / step, tv=0.0, total=0.1 + 1 / step)


LOSSES: Final = Losses(first=_loss(1), last=_loss(40), curve=tuple(map(_loss, range(2, 40, 4))))


def shade(number: int, size: tuple[int, int] = (36, 24)) -> bytes:
    """A picture of one colour, another for each number."""
    out = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 97 * number % 256)).save(out, "PNG")
    return out.getvalue()


@dataclass
class Batch:
    """A batch in a store and in a ledger in memory; pairs are settled by hand."""

    store: ObjectStore
    state: Path
    contents: Sequence[str] = ("harbour.jpg", "garden.jpg", "portrait.jpg")
    styles: Sequence[str] = ("night.png", "woodcut.png")
    name: str = "June"

    def __post_init__(self) -> None:
        self.files = BatchFiles(self.store)
        self.ledger = MemoryLedger()
        deployment = Deployment.load(_env_file=None, state=self.state)
        nothing: Any = None
        self.connection = Connection(
            deployment, nothing, nothing, self.ledger, self.store, self.files, nothing
        )
        contents = self._inputs(self.contents, 0)
        styles = self._inputs(self.styles, 40_000)
        self.spec = BatchSpec(
            batch=BATCH,
            name=self.name,
            created_at=BEGAN,
            contents=len(contents),
            styles=len(styles),
            settings=StyleSettings.preset("gallery", size_px=36),
        )
        self.files.write(self.spec, contents, styles)
        self.ledger.open(BatchOpening(BATCH, self.spec.total, self.name))
        self.ledger.advance(BATCH, min_window=self.spec.total)

    @cached_property
    def _usual(self) -> dict[str, Any]:
        """What the metadata of all have in common, in JSON: made once, since there may be thousands."""
        usual = results.metadata(
            BATCH, "x", b"", width_px=36, height_px=24, steps=40, losses=LOSSES, settings=self.spec.settings
        )
        return usual.model_dump(mode="json")

    def _inputs(self, names: Sequence[str], first: int) -> list[InputRef]:
        slugs = SlugSet()
        refs = []
        for number, name in enumerate(names, start=first):
            data = shade(number)
            digest = hashlib.sha256(data).hexdigest()
            key = layout.input_key(digest, "png")
            self.put(key, data, "image/png")
            refs.append(
                InputRef(
                    uri=f"store:{key}",
                    name=name,
                    slug=slugs.give(name),
                    sha256=digest,
                    size_bytes=len(data),
                )
            )
        return refs

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Thousands of files need not be on the disk before the test goes on."""
        if isinstance(self.store, FolderStore):
            path = self.store.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        else:
            self.store.put(key, data, content_type=content_type)

    def finish(self, pair: int, pixels: bytes | None = None, **metadata: Any) -> None:
        """Its result is in the store, and the ledger knows. `metadata`: some of its fields, as in JSON."""
        data = shade(20_000 + pair) if pixels is None else pixels
        job = self.files.job(BATCH, pair)
        key = layout.metadata_key(BATCH, job.output_stem)
        fields = {
            **self._usual,
            "pair": pair,
            "content": _record(job.content.name),
            "style": _record(job.style.name),
            "picture_key": layout.picture_key(BATCH, job.output_stem, "png"),
            "picture_sha256": hashlib.sha256(data).hexdigest(),
            "picture_bytes": len(data),
            "started_at": (BEGAN + timedelta(seconds=pair)).isoformat(),
            "finished_at": (BEGAN + timedelta(seconds=2 * pair + 3)).isoformat(),
            **metadata,
        }
        self.put(fields["picture_key"], data, "image/png")
        self.put(key, json.dumps(fields).encode(), "application/json")
        lease = self._lease(pair)
        self.ledger.finish(BATCH, pair, lease_id=lease.lease_id, busy_seconds=2.0)

    def fail(self, pair: int, reason: str) -> None:
        job = self.files.job(BATCH, pair)
        failure = Failure(pair, "bad_picture", reason, 1, job.content.name, job.style.name, 0)
        self.ledger.fail(BATCH, pair, lease_id=self._lease(pair).lease_id, failure=failure)

    def settle(self, failed: Mapping[int, str] | None = None) -> None:
        """All pairs are done, but those that failed for such reasons."""
        for pair in range(self.spec.total):
            if failed and pair in failed:
                self.fail(pair, failed[pair])
            else:
                self.finish(pair)

    def _lease(self, pair: int) -> Lease:
        lease = self.ledger.lease(BATCH, pair, worker="hands", lease_id=f"lease {pair}", ttl_seconds=600)
        assert isinstance(lease, Lease)
        return lease


def _record(name: str) -> dict[str, Any]:
    record = InputRecord(
        uri="store:inputs/x.png", name=name, sha256="0" * 64, size_bytes=1, width_px=36, height_px=24
    )
    return record.model_dump()
