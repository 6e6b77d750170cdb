"""What a submission would come to before it is one: work, time, bytes, money, by what was measured here."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from impasto.producer.collect import Tally
from impasto.producer.connection import Connection
from impasto.producer.parallel import each
from impasto.producer.request import Submission
from impasto.producer.sources import Rejected
from impasto.producer.speed import Measured, Speed, measured_pairs, result_bytes, speeds
from impasto.producer.workload import Workload, workload
from impasto.shared import layout
from impasto.shared.batches import BatchFiles
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError
from impasto.shared.jobs import Content, StyleRef, fingerprint, weighted
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.open import open_deployment_store

ASKED_AT_MOST: Final = 1000
"""So many pairs' results are asked for; of more pairs, so many by chance."""
_QUESTIONS: Final = 16

_Answer = TypeVar("_Answer")
_Other = TypeVar("_Other")


@dataclass(frozen=True)
class Matrix:
    """A batch to be: `sizes_px` are the contents' (width, height). Zipped lists have one length."""

    settings: StyleSettings
    contents: Sequence[Content]
    sizes_px: Sequence[tuple[int, int]]
    styles: Sequence[StyleRef]
    zipped: bool = False

    @property
    def pairs(self) -> int:
        return len(self.contents) * (1 if self.zipped else len(self.styles))

    def fingerprint(self, pair: int) -> str | None:
        """Of its result; None where an input's digest is not known."""
        at = (pair, pair) if self.zipped else divmod(pair, len(self.styles))
        content, style = self.contents[at[0]], self.styles[at[1]]
        paintings = [(painting.sha256, weight) for painting, weight in weighted(style)]
        mask = None if content.mask is None else content.mask.sha256
        if content.sha256 is None or (content.mask is not None and mask is None):
            return None
        digests = [(sha256, weight) for sha256, weight in paintings if sha256 is not None]
        if len(digests) < len(paintings):
            return None
        return fingerprint(content.sha256, digests, self.settings, mask_sha256=mask)

    def workloads(self) -> Iterator[tuple[Workload, int]]:
        """Each kind of work, and how many pairs are of it."""
        pairs_a_content = 1 if self.zipped else len(self.styles)
        for size_px, contents in Counter(self.sizes_px).items():
            yield workload(self.settings, size_px), contents * pairs_a_content


@dataclass(frozen=True)
class Estimate:
    """What a submission would come to. None is what nothing tells; `notes` say why.

    `made`: pairs whose result is in the store from earlier, out of the `made_asked` that were looked up.
    `seconds` of one worker's work on what is left; `measured_pairs` tell its speed, `measured_same` if with
    the very settings, on `devices`. `workers` are those that live unless given (`workers_given`), or 1.
    `finish_seconds` is as if nothing else ran. `upload` is of the inputs. `result_bytes` is a guess by
    `measured_results` results of the format. `cost` is in the unit of the price.
    """

    submissions: tuple[Submission, ...]
    rejected: tuple[Rejected, ...]
    pairs: int
    megapixels: float
    made: int
    made_asked: int
    seconds: float | None
    measured_pairs: int
    measured_same: bool
    devices: tuple[str, ...]
    workers: int
    workers_living: int
    workers_given: bool
    finish_seconds: float | None
    upload: Tally
    result_bytes: int | None
    measured_results: int
    price_per_hour: float | None
    cost: float | None
    notes: tuple[str, ...]

    @property
    def made_in_all(self) -> int:
        """Pairs made before, by the share of those that were looked up."""
        return round(self.pairs * self.made / self.made_asked) if self.made_asked else 0


@dataclass
class _Asking:
    """Questions that may fail without an end of the whole: what fails is a note."""

    notes: list[str] = field(default_factory=list)

    def ask(self, what: str, question: Callable[[], _Answer], otherwise: _Other) -> _Answer | _Other:
        try:
            return question()
        except ImpastoError as error:
            self.note(what, str(error))
            return otherwise

    def note(self, what: str, why: str) -> None:
        self.notes.append(f"not known: {what}: {why}")


class Asked:
    """Whom an estimate asks: the deployment's store, and its ledger where one answers."""

    def __init__(
        self,
        deployment: Deployment,
        connect: Callable[[], Connection],
        workers: int | None,
        price_per_hour: float | None,
    ) -> None:
        """`connect` may raise any ImpastoError. Raises BadSettings for what is no number of workers."""
        if workers is not None and workers < 1:
            raise BadSettings(f"{workers} workers make nothing: give 1 or more")
        if price_per_hour is not None and not (math.isfinite(price_per_hour) and price_per_hour >= 0):
            raise BadSettings(f"{price_per_hour:g} is no price of an hour: give 0 or more")
        self._deployment = deployment
        self._workers = workers
        self._price = deployment.price_per_hour if price_per_hour is None else price_per_hour
        self._asking = _Asking()
        connection = self._asking.ask("living workers", connect, None)
        self._ledger = None if connection is None else connection.ledger
        self.store = open_deployment_store(deployment) if connection is None else connection.store

    def estimate(
        self,
        matrices: Sequence[Matrix],
        submissions: tuple[Submission, ...],
        rejected: tuple[Rejected, ...],
        upload: Tally,
    ) -> Estimate:
        """Of these batches together; `upload` is what their inputs were found to be."""
        asking = self._asking
        if upload.problem is not None:
            asking.note("what is there already", upload.problem)
        pairs = sum(matrix.pairs for matrix in matrices)
        made, asked = asking.ask("results from earlier", lambda: _made_before(matrices, self.store), (0, 0))
        left = 1 - made / asked if asked else 1.0
        settings = [matrix.settings for matrix in matrices]
        measured = asking.ask(
            "speed", lambda: measured_pairs(BatchFiles(self.store), self._ledger, settings), list[Measured]()
        )
        living = self._living_devices()
        rates = [rate for matrix in matrices if (rate := _rate(matrix, measured, living)) is not None]
        seconds = left * sum(rate.seconds for rate in rates) if len(rates) == len(matrices) else None
        workers = self._workers or len(living) or 1
        results = _results(matrices, measured)
        return Estimate(
            submissions=submissions,
            rejected=rejected,
            pairs=pairs,
            megapixels=sum(work.megapixels * times for m in matrices for work, times in m.workloads()),
            made=made,
            made_asked=asked,
            seconds=seconds,
            measured_pairs=0 if seconds is None else sum(rate.pairs for rate in rates),
            measured_same=seconds is not None and all(rate.same for rate in rates),
            devices=tuple(sorted({device for rate in rates for device in rate.devices})),
            workers=workers,
            workers_living=len(living),
            workers_given=self._workers is not None,
            finish_seconds=None if seconds is None else _finish(seconds, round(left * pairs), workers),
            upload=upload,
            result_bytes=None if results is None else round(left * results[0]),
            measured_results=0 if results is None else results[1],
            price_per_hour=self._price,
            cost=None if seconds is None or self._price is None else seconds / 3600 * self._price,
            notes=tuple(asking.notes),
        )

    def _living_devices(self) -> list[str]:
        """One a living worker."""
        ledger = self._ledger
        if ledger is None:
            return []
        workers = self._asking.ask("living workers", ledger.workers, [])
        return [str(worker.info.get("device", "")) for worker in workers]


def _results(matrices: Sequence[Matrix], measured: Sequence[Measured]) -> tuple[float, int] | None:
    """Bytes of all results, and by how many measured ones; None where a format was not measured yet."""
    total, pairs = 0.0, 0
    for matrix in matrices:
        size = result_bytes(measured, matrix.settings)
        if size is None:
            return None
        total += sum(size.of(work) * times for work, times in matrix.workloads())
        pairs += size.pairs
    return total, pairs


@dataclass(frozen=True)
class _Rate:
    """What one worker of the fleet needs for a matrix, and what tells so."""

    seconds: float
    pairs: int
    same: bool
    devices: tuple[str, ...]


def _rate(matrix: Matrix, measured: Sequence[Measured], living: Sequence[str]) -> _Rate | None:
    """By the devices of the living workers, in their shares; else by the device that tells most."""
    known = speeds(measured, matrix.settings)
    if not known:
        return None
    by_kind = {_kind(speed.device): speed for speed in known}
    fleet = [by_kind[_kind(device)] for device in living if _kind(device) in by_kind]
    used: list[Speed] = fleet or [max(known, key=lambda speed: (speed.same, speed.pairs))]
    # Rates add up, seconds don't.
    seconds = statistics.harmonic_mean([_seconds(matrix, speed) for speed in used])
    different = {speed.device: speed for speed in used}.values()
    return _Rate(
        seconds,
        sum(speed.pairs for speed in different),
        all(speed.same for speed in different),
        tuple(speed.device for speed in different),
    )


def _seconds(matrix: Matrix, speed: Speed) -> float:
    return sum(speed.seconds(work) * times for work, times in matrix.workloads())


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _finish(seconds: float, pairs: int, workers: int) -> float:
    """No worker has more than a whole pair in hand, and no pair is shared."""
    return seconds / pairs * math.ceil(pairs / workers) if pairs else 0.0


def _made_before(matrices: Sequence[Matrix], store: ObjectStore) -> tuple[int, int]:
    """How many results are there, and how many were asked for."""
    fingerprints = [one for one in _asked_for(matrices) if one is not None]
    keys = (layout.result_key(one) for one in fingerprints)
    made = sum(info is not None for _, info in each(store.head, keys, threads=_QUESTIONS))
    return made, len(fingerprints)


def _asked_for(matrices: Sequence[Matrix]) -> Iterator[str | None]:
    total = sum(matrix.pairs for matrix in matrices)
    # Seeded: the same question has the same answer.
    asked = (
        range(total) if total <= ASKED_AT_MOST else random.Random(0).sample(range(total), ASKED_AT_MOST)  # noqa: S311
    )
    first = 0
    for matrix in matrices:
        end = first + matrix.pairs
        yield from (matrix.fingerprint(pair - first) for pair in asked if first <= pair < end)
        first = end
