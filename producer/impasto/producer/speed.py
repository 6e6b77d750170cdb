"""How fast pairs were made here: seconds, and bytes of results, measured on what lies in the store."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pydantic import ValidationError

from impasto.producer.workload import Workload, workload
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.errors import ImpastoError, ObjectMissing
from impasto.shared.jobs import BatchSpec
from impasto.shared.ledger import Ledger
from impasto.shared.metadata import OutputMetadata, TimingsSeconds
from impasto.shared.settings import StyleSettings

_BATCHES: Final = 50
"""So many batches, the newest, are looked at; in a store without a ledger, so many of those found first."""
_KEYS: Final = 5_000
_SAMPLES: Final = 24
_SAMPLES_A_BATCH: Final = 8
_READERS: Final = 8

_COSTLY: Final = (
    "network",
    "pooling",
    "content_layers",
    "style_layers",
    "style_statistic",
    "optimizer",
    "precision",
)
"""Settings that change what a step costs a pixel."""
_SIZED: Final = ("size_px", "preview_px", "enlarge", "steps", "coarsest_px", "coarse_steps")
"""Settings that change how many pixels and steps there are."""


@dataclass(frozen=True)
class Measured:
    """One pair that was made: what it took, and what came of it."""

    settings: StyleSettings
    device: str
    work: Workload
    timings: TimingsSeconds
    picture_bytes: int
    metadata_bytes: int


@dataclass(frozen=True)
class Speed:
    """What a worker on `device` needs. `pairs` were measured; `same`: with these very settings.

    Otherwise the measured pairs had other sizes or numbers of steps, and only the network's part is known.
    """

    device: str
    pairs: int
    same: bool
    before_seconds: float
    seconds_a_megapixel_step: float
    after_seconds: float

    def seconds(self, work: Workload) -> float:
        """Of one such pair: workers fetch, compute and put side by side, and the slowest of it counts."""
        return max(
            self.before_seconds, self.seconds_a_megapixel_step * work.megapixel_steps, self.after_seconds
        )


@dataclass(frozen=True)
class ResultBytes:
    """What a result of the format takes in the store, by `pairs` of them."""

    format: str
    pairs: int
    bytes_a_megapixel: float
    metadata_bytes: float

    def of(self, work: Workload) -> float:
        return work.megapixels * self.bytes_a_megapixel + self.metadata_bytes


def speeds(measured: Iterable[Measured], settings: StyleSettings) -> list[Speed]:
    """Each device's, by pairs of the same settings or else of the same network, layers and optimiser."""
    by_device: dict[str, list[Measured]] = {}
    for one in measured:
        if _alike(one.settings, settings, _COSTLY) and one.work.megapixel_steps > 0:
            by_device.setdefault(one.device, []).append(one)
    found: list[Speed] = []
    for device, pairs in sorted(by_device.items()):
        exact = [pair for pair in pairs if _alike(pair.settings, settings, _SIZED)]
        used = exact or pairs
        found.append(
            Speed(
                device,
                len(used),
                bool(exact),
                statistics.median(one.timings.fetch + one.timings.decode for one in used),
                statistics.median(_computing(one) for one in used),
                statistics.median(one.timings.encode + one.timings.upload for one in used),
            )
        )
    return found


def result_bytes(measured: Iterable[Measured], settings: StyleSettings) -> ResultBytes | None:
    """Of results of the same format, and the same quality where there are such."""
    pairs = [one for one in measured if one.settings.format == settings.format]
    pairs = [one for one in pairs if one.settings.quality == settings.quality] or pairs
    if not pairs:
        return None
    return ResultBytes(
        settings.format,
        len(pairs),
        statistics.median(one.picture_bytes / one.work.megapixels for one in pairs),
        statistics.median(one.metadata_bytes for one in pairs),
    )


def measured_pairs(
    files: BatchFiles, ledger: Ledger | None, wanted: Sequence[StyleSettings]
) -> list[Measured]:
    """A sample of what was made lately, of batches whose settings tell most about the wanted ones.

    Without a ledger the batches are found in the store. Raises the store's errors.
    """
    specs = [*_specs(files, _batches(files, ledger))]
    by_batch: dict[str, list[Measured]] = {}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="speed") as pool:
        for settings in wanted:
            samples = 0
            for spec in sorted(specs, key=lambda spec: _distance(spec.settings, settings)):
                if samples >= _SAMPLES:
                    break
                if spec.batch not in by_batch:
                    keys = islice(_metadata_keys(files, spec), _SAMPLES_A_BATCH)
                    read = pool.map(lambda key: _measured(files, key), keys)
                    by_batch[spec.batch] = [one for one in read if one is not None]
                samples += len(by_batch[spec.batch])
    return [one for measured in by_batch.values() for one in measured]


def _computing(pair: Measured) -> float:
    return (pair.timings.targets + pair.timings.optimise) / pair.work.megapixel_steps


def _alike(one: StyleSettings, other: StyleSettings, fields: Sequence[str]) -> bool:
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _distance(one: StyleSettings, wanted: StyleSettings) -> tuple[bool, bool, bool]:
    """Batches that tell more come first, and among equals the newer ones, since sorting is stable."""
    costly = _alike(one, wanted, _COSTLY)
    return not costly, not (costly and _alike(one, wanted, _SIZED)), one.format != wanted.format


def _batches(files: BatchFiles, ledger: Ledger | None) -> list[str]:
    if ledger is not None:
        return ledger.batches()[:_BATCHES]
    tail = f"/{layout.SPEC_NAME}"
    keys = (info.key for info in islice(files.store.list(layout.BATCHES), _KEYS))
    found = (key.removeprefix(layout.BATCHES).removesuffix(tail) for key in keys if key.endswith(tail))
    return [*islice(found, _BATCHES)]


def _specs(files: BatchFiles, batches: Iterable[str]) -> Iterator[BatchSpec]:
    """A batch that was purged, or that another version wrote, tells nothing."""
    for batch in batches:
        try:
            yield files.spec(batch)
        except ImpastoError:
            continue


def _metadata_keys(files: BatchFiles, spec: BatchSpec) -> Iterator[str]:
    listed = islice(files.store.list(layout.outputs_prefix(spec.batch)), 8 * _SAMPLES_A_BATCH)
    return (info.key for info in listed if info.key.endswith(".json"))


def _measured(files: BatchFiles, key: str) -> Measured | None:
    try:
        data = files.store.get(key)
        made = OutputMetadata.model_validate_json(data)
    except (ObjectMissing, ValidationError):
        return None
    # What was copied tells of the copy's own settings, but of no work.
    size_px = made.content.width_px, made.content.height_px
    return Measured(
        made.settings,
        made.device,
        workload(made.settings, size_px),
        made.timings_seconds,
        made.picture_bytes,
        len(data),
    )
