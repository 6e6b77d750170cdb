"""One run of one pair: what it is, and what it is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from impasto.shared import layout
from impasto.shared.jobs import PairJob
from impasto.worker.inputs import PairInputs
from impasto.worker.stopwatch import Stopwatch
from impasto.worker.versions import impasto_version


@dataclass(frozen=True)
class Work:
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

    @property
    def checkpoint_key(self) -> str:
        return layout.checkpoint_key(self.batch, self.job.pair)

    def object_metadata(self) -> dict[str, str]:
        """What the picture itself and its object in the store carry."""
        return {
            "fingerprint": self.fingerprint,
            "settings-digest": self.job.settings.digest(),
            "software": f"impasto {impasto_version()}",
        }
