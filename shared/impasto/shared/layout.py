"""Where things lie in the store: every key is built here, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

InputList = Literal["contents", "styles"]

INPUTS: Final = "inputs/"
OUTPUTS: Final = "outputs/"
BATCHES: Final = "batches/"
SCHEDULES: Final = "schedules/"
OPEN_NIGHTS: Final = "nights/"
SPEC_NAME: Final = "batch.json"
RECOVERING_NAME: Final = "recovering.json"
SCHEDULE_NAME: Final = "schedule.json"


def input_key(sha256: str, extension: str) -> str:
    """An uploaded input, addressed by its content; `extension` without the dot."""
    return f"{INPUTS}{sha256}.{extension}"


def batch_prefix(batch: str) -> str:
    """What the key of everything that is kept of the batch starts with, but its outputs."""
    return f"{BATCHES}{batch}/"


def spec_key(batch: str) -> str:
    """The batch's `BatchSpec`."""
    return f"{batch_prefix(batch)}{SPEC_NAME}"


def purged_key(batch: str) -> str:
    """Says that the ledger was told to forget the batch, for whoever rebuilds it from the store."""
    return f"{batch_prefix(batch)}purged.json"


def recovering_key(batch: str) -> str:
    """Says that the batch's rebuilding in the ledger was begun and is not over."""
    return f"{batch_prefix(batch)}{RECOVERING_NAME}"


def retried_key(batch: str) -> str:
    """Says when the batch's last end was that a retry undid: a report of that end is out of date."""
    return f"{batch_prefix(batch)}retried.json"


def chunk_key(batch: str, inputs: InputList, chunk: int) -> str:
    """One chunk of the batch's contents or styles, a JSON `InputRef` a line."""
    return f"{chunks_prefix(batch, inputs)}{chunk:05d}.jsonl"


def chunks_prefix(batch: str, inputs: InputList) -> str:
    """What the key of every chunk of that list starts with."""
    return f"{batch_prefix(batch)}{inputs}/"


def report_key(batch: str, extension: Literal["json", "csv"]) -> str:
    """The batch's report, written at its end."""
    return f"{batch_prefix(batch)}report.{extension}"


def checkpoint_key(batch: str, pair: int) -> str:
    """Where a worker that hands a pair back leaves how far it came; gone once the pair is done."""
    return f"{checkpoints_prefix(batch)}{pair}.ckpt"


def checkpoints_prefix(batch: str) -> str:
    """What the key of every checkpoint of the batch starts with."""
    return f"{batch_prefix(batch)}checkpoints/"


def gallery_key(batch: str, name: str) -> str:
    """A file of the batch's gallery; its page is `index.html`, which links all others relative to itself."""
    return f"{batch_prefix(batch)}gallery/{name}"


def outputs_prefix(batch: str) -> str:
    """What every picture and metadata key of the batch starts with."""
    return f"{OUTPUTS}{batch}/"


def picture_key(batch: str, stem: str, extension: str) -> str:
    """A pair's picture; `stem` is `PairJob.output_stem`, whose slashes are folders."""
    return f"{outputs_prefix(batch)}{stem}.{extension}"


def metadata_key(batch: str, stem: str) -> str:
    """A pair's `OutputMetadata`, beside its picture."""
    return f"{outputs_prefix(batch)}{stem}.json"


def result_key(fingerprint: str) -> str:
    """Where that exact result already lies."""
    return f"results/{fingerprint}.json"


def schedule_prefix(name: str) -> str:
    """What the key of everything that is kept of the schedule starts with."""
    return f"{SCHEDULES}{name}/"


def schedule_key(name: str) -> str:
    """The schedule's `ScheduleSpec`."""
    return f"{schedule_prefix(name)}{SCHEDULE_NAME}"


def night_key(name: str, fired_at: datetime) -> str:
    """The `NightSummary` of the schedule's fire at that time."""
    return f"{schedule_prefix(name)}nights/{_second(fired_at)}.json"


def latest_night_key(name: str) -> str:
    """The schedule's last `NightSummary`."""
    return f"{schedule_prefix(name)}latest.json"


def index_key(name: str) -> str:
    """What the schedule's nights know of its inputs and results."""
    return f"{schedule_prefix(name)}index.json"


def index_chunk_key(name: str, edition: str, part: Literal["inputs", "results"], chunk: int) -> str:
    """One chunk of it, a JSON object a line; `index.json` names the edition that counts."""
    return f"{index_chunks_prefix(name)}{edition}/{part}-{chunk:05d}.jsonl"


def index_chunks_prefix(name: str) -> str:
    """What the keys of all its chunks start with."""
    return f"{schedule_prefix(name)}index/"


def open_night_key(name: str, fired_at: datetime) -> str:
    """The `Night` of a fire that has no summary yet."""
    return f"{open_nights_prefix(name)}{_second(fired_at)}.json"


def open_nights_prefix(name: str) -> str:
    """What the keys of the schedule's nights without a summary start with."""
    return f"{OPEN_NIGHTS}{name}/"


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
