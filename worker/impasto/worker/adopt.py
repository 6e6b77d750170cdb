"""Jobs that come without a batch become batches of one, so that every guarantee holds for them too."""

from __future__ import annotations

from datetime import UTC, datetime

from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ObjectMissing
from impasto.shared.jobs import BatchSpec, Content, PairJob
from impasto.shared.ledger import BatchOpening, Ledger


def adopt(job: PairJob, *, files: BatchFiles, ledger: Ledger) -> PairJob:
    """The job as pair 0 of a batch named after its digest; a job with a batch is given back as it is.

    The same job twice is one batch. Its files are written before the ledger hears of it, so a worker that
    dies in between leaves nothing that the next copy of the message does not mend. Raises the ledger's and
    the store's errors.
    """
    if job.batch is not None:
        return job
    batch = f"job-{job.digest()[:32]}"
    name = f"{job.content.name} × {job.style.name}"[:200]
    try:
        files.spec(batch)
    except ObjectMissing:
        spec = BatchSpec(
            batch=batch,
            name=name,
            owner="message",
            created_at=datetime.now(UTC),
            contents=1,
            styles=1,
            settings=job.settings,
            # A name has no braces, so as a template it is itself.
            output_names=job.output,
        )
        content = Content(**dict(job.content), mask=job.mask)
        files.write(spec, [content], [job.style])
    ledger.open(BatchOpening(batch=batch, total=1, name=name))
    ledger.advance(batch, min_window=1)
    return job.model_copy(update={"batch": batch, "pair": 0})
