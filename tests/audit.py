"""What must hold of a batch that is over, whatever happened to it on the way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection

from PIL import Image

from impasto.shared import layout
from impasto.shared.jobs import fingerprint
from impasto.shared.ledger import BatchState, EventType
from impasto.shared.ledger.keys import BATCH_KEYS, Keys
from impasto.shared.metadata import OutputMetadata
from stage import Stage


def audit(stage: Stage, batch: str) -> None:
    """Every pair in one terminal state, each picture whole and as its metadata says, nothing left behind."""
    status = stage.ledger.status(batch)
    assert status.is_over
    done = set(stage.ledger.done_pairs(batch))
    failed = [failure.pair for failure in stage.ledger.failures(batch)]
    assert (len(done), len(failed)) == (status.done, status.failed)
    assert not done & set(failed)
    assert status.done + status.failed + status.cancelled == status.total
    expected = set()
    for pair in done:
        expected |= _audit_pair(stage, batch, pair)
    found = {info.key for info in stage.store.list(layout.outputs_prefix(batch))}
    # A pair that was cancelled or failed while its picture was put may have left it, and nothing else.
    beyond = found - expected
    assert not expected - found
    assert len(beyond) <= 2 * (status.cancelled + status.failed), beyond
    assert stage.ledger.running(batch) == []
    counted = [e.pair for e in stage.ledger.events(batch) if e.type is EventType.PAIR_DONE]
    assert sorted(counted) == sorted(done)
    assert (status.due, status.running, status.waiting) == (0, 0, 0)
    if status.state is BatchState.DONE:
        assert not list(stage.store.list(f"{layout.BATCHES}{batch}/checkpoints/"))


def audit_ledger(stage: Stage) -> None:
    """No batch that is over leaves a lease, a due entry or a count of its pairs behind."""
    keys = Keys(stage.deployment.namespace)
    for batch in stage.ledger.batches():
        kept = {name for name in BATCH_KEYS if stage.client.exists(keys.of_batch(batch, name))}
        assert kept <= {"meta", "done", "failures", "events"}, (batch, kept)
    assert stage.client.zcard(keys.shared("active")) == 0


def audit_store(stage: Stage, batches: Collection[str]) -> None:
    """No object lies outside the prefixes of these batches, the inputs and the results."""
    # A worker that was killed while it tried the store leaves what it tried it with.
    places = [layout.INPUTS, "results/", "checks/"]
    for batch in batches:
        places += [layout.outputs_prefix(batch), layout.batch_prefix(batch)]
    strangers = [info.key for info in stage.store.list("") if not info.key.startswith(tuple(places))]
    assert strangers == [], strangers


def _audit_pair(stage: Stage, batch: str, pair: int) -> set[str]:
    """The keys of its two objects."""
    job = stage.files.job(batch, pair)
    key = layout.metadata_key(batch, job.output_stem)
    metadata = OutputMetadata.model_validate_json(stage.store.get(key))
    data = stage.store.get(metadata.picture_key)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (metadata.width_px, metadata.height_px)
    assert hashlib.sha256(data).hexdigest() == metadata.picture_sha256
    info = stage.store.head(metadata.picture_key)
    assert info is not None
    assert info.metadata["fingerprint"] == metadata.fingerprint
    assert metadata.fingerprint == fingerprint(job.content.sha256, job.style.sha256, job.settings)
    assert (metadata.batch, metadata.pair) == (batch, pair)
    return {key, metadata.picture_key}
