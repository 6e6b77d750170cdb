"""`Client`: submit, watch, fetch, steer and clean up, for programs; the command line is built on it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from impasto.producer import estimate as estimating
from impasto.producer import fetch as fetching
from impasto.producer import purge as purging
from impasto.producer import recover as recovering
from impasto.producer import retry as retrying
from impasto.producer import submit as submitting
from impasto.producer.collect import OnProgress
from impasto.producer.connection import Connection, connect_to
from impasto.producer.estimate import Estimate
from impasto.producer.fetch import Fetched
from impasto.producer.gallery import Gallery, build_gallery
from impasto.producer.manifest import ManifestFormat, read_manifest
from impasto.producer.manifest_plan import ManifestRequest
from impasto.producer.purge import Purged
from impasto.producer.recover import Recovery
from impasto.producer.request import (
    ContentSources,
    Pairs,
    Request,
    Sources,
    StyleSources,
    Submission,
    as_sources,
    make_settings,
)
from impasto.producer.results import Result, results
from impasto.producer.schedules.hours import taken_over
from impasto.producer.submit_manifest import (
    ManifestSubmission,
    check_manifest,
    submit_manifest,
    survey_manifest,
)
from impasto.producer.waiting import Deadline, without_ticks
from impasto.producer.watch import Update, updates
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, NoSuchBatch, Permanent
from impasto.shared.jobs import BATCH_ID_PATTERN, PairJob
from impasto.shared.ledger import BatchState, BatchStatus, Control, DeadLetter, Failure, RunningPair
from impasto.shared.settings import StyleSettings
from impasto.shared.store.open import open_deployment_store

if TYPE_CHECKING:
    from impasto.producer.schedules.api import Schedules
    from impasto.producer.webhooks.service import Webhooks

LATEST: Final = "latest"


class Client:
    """A producer on one deployment; by default the one that `IMPASTO_…` variables describe, or `impasto up`.

    A context manager; opens its connections at first use. Safe to share between threads. Every method that
    asks may raise NotRunning, LedgerUnavailable, StoreUnavailable or StoreRefused; each says what else.

    `batch` is an id everywhere, or a beginning that only one batch has, or `latest`.
    """

    def __init__(self, deployment: Deployment | None = None) -> None:
        self.deployment = deployment if deployment is not None else Deployment.load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self.__dict__.pop("schedules", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    @cached_property
    def connection(self) -> Connection:
        """Redis, ledger, store and queue of the deployment."""
        return connect_to(self.deployment)

    @property
    def webhooks(self) -> Webhooks:
        """Whose URLs are told what happens."""
        # httpx and the scheme's library take their time to load, and few need them.
        from impasto.producer.webhooks.service import Webhooks

        return Webhooks(self.connection.redis, self.connection.deployment)

    @cached_property
    def schedules(self) -> Schedules:
        """What is restyled again and again, at times of its own."""
        # RedBeat and Celery's beat take their time to load, and few need them.
        from impasto.producer.schedules.api import Schedules

        return Schedules(self.connection)

    def submit(
        self,
        contents: ContentSources,
        styles: StyleSources,
        *,
        masks: Sources = (),
        preset: str | None = None,
        settings: StyleSettings | Mapping[str, Any] | None = None,
        name: str | None = None,
        owner: str = "",
        priority: int = 5,
        pairs: Pairs = "product",
        token: str | None = None,
        strict: bool = False,
        again: bool = False,
        recheck: bool = False,
        output_names: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Submission:
        """Make a batch of every content with every style (or, zipped, of each content with its style).

        Sources are files, folders, globs, `s3://bucket/prefix`, `store:prefix` and each `Picture` in memory.
        Local inputs are checked and uploaded, those in S3 or in the store checked and read where they lie. A
        style may be a `Blend` of several paintings. `masks` are sources too: a mask, white where the style
        applies, belongs to the content of the same name and folder; `Masked` names one content with its mask.
        `settings` are fields that replace the preset's, or whole settings; the preset is `gallery` unless
        named. The same `token` within 30 days is the same batch: nothing is then uploaded, and `created` is
        False. Without a token the same inputs under the same settings and name are the same batch for a day,
        unless it was cancelled; `again` makes a new one. `priority`: 0 (served first) to 9.

        `output_names` is a template of what outputs are called, without an extension: `{content}__{style}`
        unless given, also with `{path}` (the content's folders below its source), `{batch}` and `{date}` (of
        the batch, UTC); slashes make folders. One that can't tell the pairs apart raises BadSettings.

        A file that was read before and has not changed since is not read again, but for an upload; `recheck`
        reads it all the same.

        A bad input is in `rejected` and the rest goes on: without its blend if it is a painting of one,
        without its content if it is a mask. With `strict`, or when nothing is left, nothing is submitted and
        SubmissionRefused names them all. Raises BadSettings for settings that make no sense.
        """
        request = Request(
            contents=as_sources(contents),
            styles=as_sources(styles),
            masks=as_sources(masks),
            settings=make_settings(self.deployment, settings, preset),
            name=name,
            owner=owner,
            priority=priority,
            pairs=pairs,
            token=token,
            strict=strict,
            again=again,
            recheck=recheck,
            output_names=output_names,
        )
        if dry_run:
            store = open_deployment_store(self.deployment)
            return submitting.check_only(request, self.deployment, store, on_progress)
        return submitting.submit(request, self.connection, on_progress)

    def submit_manifest(
        self,
        manifest: str | Path,
        *,
        format: ManifestFormat | None = None,
        preset: str | None = None,
        settings: StyleSettings | Mapping[str, Any] | None = None,
        name: str | None = None,
        owner: str = "",
        priority: int = 5,
        token: str | None = None,
        strict: bool = False,
        again: bool = False,
        recheck: bool = False,
        output_names: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> ManifestSubmission:
        """Make a pair of every row of a manifest: `.csv` or `.jsonl`, or `-` for standard input.

        Rows have `content` and `style`, and may have `mask` and `name` (what outputs call the content), each
        input a file (relative to the manifest), `s3://bucket/key` or `store:key`. Rows with settings of their
        own (`settings.NAME` in CSV, an object `settings` in JSON lines, either with a `preset`) replace those
        given here; rows of equal settings become one batch each, `name-1`, `name-2`, …

        Nothing is opened before every row was checked. The same manifest on unchanged files is the same
        batches within 30 days; `token` replaces what tells so, and `again` makes new ones. A senseless row
        refuses all: SubmissionRefused names each by line and column. Bad inputs, `strict`, `recheck`,
        `output_names` (`{path}`: the row's folders below the manifest) and `dry_run` are as of `submit`.
        """
        request = ManifestRequest(
            read_manifest(manifest, format),
            preset=preset,
            settings=settings,
            name=name,
            owner=owner,
            priority=priority,
            token=token,
            strict=strict,
            again=again,
            recheck=recheck,
            output_names=output_names,
        )
        if dry_run:
            store = open_deployment_store(self.deployment)
            return check_manifest(request, self.deployment, store, on_progress)
        return submit_manifest(request, self.connection, on_progress)

    def estimate(
        self,
        contents: ContentSources,
        styles: StyleSources,
        *,
        masks: Sources = (),
        preset: str | None = None,
        settings: StyleSettings | Mapping[str, Any] | None = None,
        pairs: Pairs = "product",
        strict: bool = False,
        workers: int | None = None,
        price_per_hour: float | None = None,
        recheck: bool = False,
        output_names: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Estimate:
        """What such a submission would come to: inputs are checked as `submit` does, nothing is uploaded.

        By what was measured on results in the store; `workers` are those that live now unless given, and the
        price of an hour of one that of the deployment. What can't be asked is None, and `notes` say why.
        Raises as `submit` does of its inputs and settings.
        """
        request = Request(
            contents=as_sources(contents),
            styles=as_sources(styles),
            masks=as_sources(masks),
            settings=make_settings(self.deployment, settings, preset),
            pairs=pairs,
            strict=strict,
            recheck=recheck,
            output_names=output_names,
        )
        asked = estimating.Asked(self.deployment, self._connection_if_any, workers, price_per_hour)
        submission, matrix = submitting.survey(
            request, self.deployment, asked.store, on_progress, compare=True
        )
        return asked.estimate([matrix], (submission,), submission.rejected, submission.tally)

    def estimate_manifest(
        self,
        manifest: str | Path,
        *,
        format: ManifestFormat | None = None,
        preset: str | None = None,
        settings: StyleSettings | Mapping[str, Any] | None = None,
        strict: bool = False,
        workers: int | None = None,
        price_per_hour: float | None = None,
        recheck: bool = False,
        output_names: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Estimate:
        """The same of a manifest's rows, all batches together. Raises as `submit_manifest`."""
        request = ManifestRequest(
            read_manifest(manifest, format),
            preset=preset,
            settings=settings,
            strict=strict,
            recheck=recheck,
            output_names=output_names,
        )
        asked = estimating.Asked(self.deployment, self._connection_if_any, workers, price_per_hour)
        made, matrices = survey_manifest(request, self.deployment, asked.store, on_progress, compare=True)
        return asked.estimate(matrices, made.submissions, made.rejected, made.tally)

    def _connection_if_any(self) -> Connection:
        self.connection.ledger.ping()
        return self.connection

    def batches(self, limit: int | None = None) -> list[BatchStatus]:
        """All batches, newest first, at most `limit`."""
        ledger = self.connection.ledger
        return [ledger.status(batch) for batch in ledger.batches()[:limit]]

    def find(self, batch: str) -> str:
        """The whole id. Raises NoSuchBatch when no batch begins so, or more than one."""
        ledger = self.connection.ledger
        batches = ledger.batches()
        if batch in batches:
            return batch
        if batch == LATEST:
            if not batches:
                raise NoSuchBatch("there is no batch yet: make one with `impasto submit`")
            return batches[0]
        matching = [known for known in batches if known.startswith(batch)] if batch else []
        if len(matching) == 1:
            return matching[0]
        if matching:
            shown = ", ".join(matching[:3]) + (", …" if len(matching) > 3 else "")
            raise NoSuchBatch(
                f"{len(matching)} batches begin with {batch!r} ({shown}): write more of its name"
            )
        raise NoSuchBatch(f"no batch is called {batch!r}: `impasto status` lists them")

    def status(self, batch: str) -> BatchStatus:
        """Where the batch stands. Raises NoSuchBatch."""
        return self.connection.ledger.status(self.find(batch))

    def running(self, batch: str) -> list[RunningPair]:
        """The batch's pairs under way, each with its step and loss. Raises NoSuchBatch."""
        return self.connection.ledger.running(self.find(batch))

    def pair(self, batch: str, pair: int) -> PairJob:
        """What that pair is made of. Raises NoSuchBatch, ObjectMissing, and IndexError outside the batch."""
        return self.connection.batches.job(self.find(batch), pair)

    def watch(self, batch: str, *, every_seconds: float = 1.0, after: str = "0") -> Iterator[Update]:
        """Updates until every pair is settled: one at once, then whenever something changed or time went by.

        Their events are all that the ledger keeps after the one with the id `after`. Raises NoSuchBatch.
        """
        return updates(self.connection.ledger, self.find(batch), every_seconds=every_seconds, after=after)

    def wait(self, batch: str, timeout_seconds: float | None = None) -> BatchStatus:
        """The status once all pairs are settled. Raises NoSuchBatch, and TimedOut when it takes longer."""
        found = self.find(batch)
        deadline = Deadline(found, timeout_seconds)
        for pause_seconds in deadline.pauses():
            status = self.connection.ledger.status(found)
            if status.is_over:
                break
            time.sleep(min(pause_seconds, deadline.left(status)))
        return status

    def results(self, batch: str, timeout_seconds: float | None = None) -> Iterator[Result]:
        """Each pair as it finishes: those that are done or failed already at once, and each once.

        A failed pair has an `error`, and is told again if it is retried. Ends with the batch; cancelled pairs
        have no result. A ledger or store that stops answering meanwhile is waited for. Raises NoSuchBatch,
        and TimedOut when the batch is not over so long after this call.
        """
        found = self.find(batch)
        return without_ticks(results(self.connection, found, Deadline(found, timeout_seconds)))

    def fetch(self, batch: str, folder: str | Path, *, on_progress: OnProgress | None = None) -> Fetched:
        """Download every result that is there now, each picture with its metadata beside it.

        Of a batch that is over also the report. What lies in the folder with the right digest is not
        downloaded again, so it may be repeated while the batch runs. Raises NoSuchBatch, and BadSettings for
        a folder that can't be written.
        """
        status = self.status(batch)
        return fetching.fetch(
            self.connection.store,
            status.batch,
            status.total,
            Path(folder).expanduser(),
            on_progress,
            # One that was retried has that of its earlier end.
            report=status.is_over,
        )

    def gallery(
        self, batch: str, folder: str | Path | None = None, *, on_progress: OnProgress | None = None
    ) -> Gallery:
        """Make a page of the batch, or bring it up to date: sheet, slider, filters, failures, settings.

        In `folder`, with the pictures beside it: those that `fetch` brought there, or else in `pictures/`.
        With None in the store, where it links the outputs. Raises as `build_gallery`.
        """
        home = None if folder is None else Path(folder).expanduser()
        return build_gallery(
            self.connection, self.find(batch), folder=home, put=folder is None, on_progress=on_progress
        )

    def failures(self, batch: str) -> list[Failure]:
        """Why each of its failed pairs failed, by pair. Raises NoSuchBatch."""
        found = self.find(batch)
        failures = sorted(self.connection.ledger.failures(found), key=lambda failure: failure.pair)
        return [self._named(found, failure) for failure in failures]

    def _named(self, batch: str, failure: Failure) -> Failure:
        """A pair that killed its workers left nobody who could tell its inputs' names."""
        if failure.content and failure.style:
            return failure
        with suppress(Permanent, IndexError):
            job = self.connection.batches.job(batch, failure.pair)
            return replace(failure, content=job.content.name, style=job.style.name)
        return failure

    def cancel(self, batch: str) -> BatchStatus:
        """Start no more of it and stop what runs at its next step; what is done stays. Raises NoSuchBatch."""
        return self._control(batch, Control.CANCEL)

    def pause(self, batch: str) -> BatchStatus:
        """Start no more of it and hand back what runs, until `resume`. Raises NoSuchBatch."""
        status = self._control(batch, Control.PAUSE)
        taken_over(self.connection, status.batch)
        return status

    def resume(self, batch: str) -> BatchStatus:
        """Go on with a paused batch. Raises NoSuchBatch, and BadSettings for a batch that was cancelled."""
        status = self._control(batch, Control.RESUME)
        taken_over(self.connection, status.batch)
        if status.state is BatchState.CANCELLED:
            raise BadSettings(f"batch {status.batch} was cancelled: submit it anew")
        self.connection.dispatcher.advance(status.batch)
        return status

    def retry(self, batch: str, pairs: Iterable[int] | None = None) -> int:
        """Try failed pairs again, all or these, with new attempts; how many of them had failed.

        A batch that was over goes on, and a recovery does not go by its report any more. Raises NoSuchBatch,
        and BadSettings for a batch that was cancelled.
        """
        return retrying.retry(self.connection, self.find(batch), pairs)

    def set_priority(self, batch: str, priority: int) -> BatchStatus:
        """Serve the batch at another priority, 0 (first) to 9, from now on; one that is over keeps its own.

        Raises NoSuchBatch, BadSettings.
        """
        return self.connection.ledger.set_priority(self.find(batch), priority)

    def dead_letters(self) -> list[DeadLetter]:
        """Messages that were no pair jobs, newest first, with what was wrong with them."""
        return self.connection.ledger.dead_letters()

    def forget_dead_letters(self, letters: Iterable[DeadLetter]) -> int:
        """Drop these and all that are older; tells how many. What came since they were listed stays."""
        latest_ms = max((one.at_ms for one in letters), default=None)
        return 0 if latest_ms is None else self.connection.ledger.forget_dead_letters(latest_ms)

    def recover(self, batches: Sequence[str] = (), *, on_progress: OnProgress | None = None) -> Recovery:
        """Rebuild in an empty ledger what the store has: these batches, or all that were not purged.

        What is done stays done, what was over ends as it had, the rest runs. Batches that the ledger knows
        are not touched, unless an earlier recovery was broken off in them. Of a submission that was repeated
        the one that never ran is passed over. Raises NoSuchBatch for a name that the store has not.
        """
        return recovering.recover(self.connection, batches, on_progress)

    def purge(
        self,
        batches: Sequence[str] = (),
        *,
        older_than_seconds: float | None = None,
        outputs: bool = False,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[Purged]:
        """Forget these batches, and those that have been over for so long.

        Their pictures, metadata and files stay in the store unless `outputs`; inputs always do. Raises
        NoSuchBatch, and BadSettings that names those which are not over, or with `outputs` one whose results
        are inputs of a batch that is not over: then nothing is purged.
        """
        found = [self._purgeable(batch, outputs=outputs) for batch in batches]
        if older_than_seconds is not None:
            found += purging.older_than(self.connection, older_than_seconds)
        return purging.purge(
            self.connection, found, outputs=outputs, dry_run=dry_run, on_progress=on_progress
        )

    def _purgeable(self, batch: str, *, outputs: bool) -> str:
        """A batch that the ledger forgot before may still have outputs; then its whole id is needed."""
        try:
            return self.find(batch)
        except NoSuchBatch:
            if not outputs or not re.fullmatch(BATCH_ID_PATTERN, batch):
                raise
            return batch

    def _control(self, batch: str, action: Control) -> BatchStatus:
        return self.connection.ledger.control(self.find(batch), action)
