"""A whole deployment on real servers for one test: ledger, store, queue, and small batches to run on it."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import redis
from celery import Celery
from PIL import Image

from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.celery_app import make_app
from impasto.shared.deployment import Deployment
from impasto.shared.dispatch import Dispatcher
from impasto.shared.jobs import BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening, Control
from impasto.shared.ledger.redis_ledger import RedisLedger, connect
from impasto.shared.names import SlugSet
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.open import open_deployment_store
from s3_server import S3Server
from workers import NOOP_WORKER, WorkerProcess

QUICK: Final = StyleSettings(size_px=32, steps=3, content_layers=("conv_2",), style_layers=("conv_1",))
SLOW: Final = QUICK.model_copy(update={"size_px": 64, "steps": 4000})
"""Long enough to be interrupted: half a minute or more."""


def picture(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A small picture of coloured noise on a ramp, another for each seed."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 160, size[0])[None, :, None]
    pixels = (ramp + rng.integers(0, 95, (size[1], size[0], 3))).astype(np.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@dataclass
class Stage:
    """Built from what `IMPASTO_…` would say, in `environment`, so that processes can be given the same."""

    environment: dict[str, str]
    deployment: Deployment = field(init=False)
    client: redis.Redis = field(init=False)
    ledger: RedisLedger = field(init=False)
    store: ObjectStore = field(init=False)
    app: Celery = field(init=False)
    files: BatchFiles = field(init=False)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        names = {name.removeprefix("IMPASTO_").lower(): value for name, value in self.environment.items()}
        self.deployment = Deployment.load(_env_file=None, **names)
        assert self.deployment.redis_url is not None
        self.client = connect(self.deployment.redis_url)
        self.ledger = RedisLedger(self.client, namespace=self.deployment.namespace)
        self.store = open_deployment_store(self.deployment)
        self.app = make_app(self.deployment, self.deployment.redis_url)
        self.files = BatchFiles(self.store)
        self.dispatcher = Dispatcher(self.app, self.ledger, self.files, self.deployment, self.client)

    def upload(self, data: bytes, name: str, slug: str) -> InputRef:
        """Put an input where a submission would put it."""
        digest = hashlib.sha256(data).hexdigest()
        key = layout.input_key(digest, "png")
        self.store.put(key, data, content_type="image/png")
        return InputRef(uri=f"store:{key}", name=name, slug=slug, sha256=digest, size_bytes=len(data))

    def submit(
        self,
        contents: Sequence[bytes],
        styles: Sequence[bytes],
        settings: StyleSettings = QUICK,
        *,
        paused: bool = False,
        **spec: Any,
    ) -> str:
        """A batch through the same steps as a submission's: files, ledger, first window.

        `paused`: the batch is paused before anything of it is on the queue.
        """
        slugs = SlugSet()
        batch = f"batch-{uuid.uuid4().hex[:8]}"
        content_refs = [
            self.upload(d, f"content{i}.png", slugs.give(f"content{i}")) for i, d in enumerate(contents)
        ]
        style_refs = [self.upload(d, f"style{i}.png", slugs.give(f"style{i}")) for i, d in enumerate(styles)]
        written = BatchSpec(
            batch=batch,
            name=batch,
            created_at=datetime.now(UTC),
            contents=len(contents),
            styles=len(styles),
            settings=settings,
            **spec,
        )
        self.files.write(written, content_refs, style_refs)
        self.ledger.open(BatchOpening(batch, written.total, batch, priority=written.priority))
        if paused:
            self.ledger.control(batch, Control.PAUSE)
        self.dispatcher.advance(batch)
        return batch

    def worker(self, log: Path, **extra: str) -> WorkerProcess:
        """A worker process of this deployment, not started yet."""
        return WorkerProcess(self.environment, log, extra)

    def noop_worker(self, log: Path, *, seconds: float = 0.0, steps: int = 1, **extra: str) -> WorkerProcess:
        """A worker whose engine gives the content back after so long, not started yet."""
        pace = {"NOOP_SECONDS": str(seconds), "NOOP_STEPS": str(steps)}
        return WorkerProcess(self.environment, log, {**pace, **extra}, NOOP_WORKER)

    def is_over(self, batch: str) -> bool:
        return self.ledger.status(batch).is_over

    def close(self) -> None:
        self.app.close()
        self.client.close()


def s3_stage(redis_url: str, namespace: str, server: S3Server, endpoint_url: str | None = None) -> Stage:
    """A stage whose store is a bucket of that server, spoken to at `endpoint_url` where that is another."""
    address = server.environment
    if endpoint_url is not None:
        address["IMPASTO_S3_ENDPOINT_URL"] = endpoint_url
    return Stage(
        {
            "IMPASTO_REDIS_URL": redis_url,
            "IMPASTO_NAMESPACE": namespace,
            "IMPASTO_STORE_URL": f"s3://{server.bucket}/{namespace}",
            **address,
        }
    )


def folder_stage(redis_url: str, namespace: str, folder: Path) -> Stage:
    """A stage whose store is a folder."""
    return Stage(
        {
            "IMPASTO_REDIS_URL": redis_url,
            "IMPASTO_NAMESPACE": namespace,
            "IMPASTO_STORE_URL": f"file://{folder}/store",
            "IMPASTO_STATE": f"{folder}/state",
        }
    )
