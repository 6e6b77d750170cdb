"""A manifest's submission: its rows become a batch for each of their settings, all or none of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from impasto.producer.collect import OnProgress, Tally
from impasto.producer.connection import Connection
from impasto.producer.estimate import Matrix
from impasto.producer.manifest_plan import GroupLists, ManifestRequest, Plan
from impasto.producer.opening import make_spec, open_batch
from impasto.producer.request import Submission
from impasto.producer.sources import Rejected
from impasto.producer.submit import earlier_submission
from impasto.shared.deployment import Deployment
from impasto.shared.jobs import BatchSpec
from impasto.shared.store import ObjectStore


@dataclass(frozen=True)
class ManifestSubmission:
    """What came of a manifest: a submission for each settings of its rows, in the order of their first rows.

    `rejected` are the inputs that are no pictures, each once; the submissions' own are those of their rows.
    Their `duplicates` are rows that said what an earlier one had said. `tally` is of the inputs of all.
    """

    submissions: tuple[Submission, ...]
    rejected: tuple[Rejected, ...]
    tally: Tally = field(default_factory=Tally)

    @property
    def pairs(self) -> int:
        return sum(submission.pairs for submission in self.submissions)

    @property
    def batches(self) -> tuple[str, ...]:
        """The ids; none after a dry run."""
        return tuple(one.batch for one in self.submissions if one.batch is not None)


def check_manifest(
    request: ManifestRequest, deployment: Deployment, store: ObjectStore, on_progress: OnProgress | None
) -> ManifestSubmission:
    """Everything but the submission: finds and checks all inputs, uploads and opens nothing."""
    return survey_manifest(request, deployment, store, on_progress)[0]


def survey_manifest(
    request: ManifestRequest,
    deployment: Deployment,
    store: ObjectStore,
    on_progress: OnProgress | None,
    *,
    compare: bool = False,
) -> tuple[ManifestSubmission, list[Matrix]]:
    """The same, and the batches that would be; with `compare` also which inputs the store has."""
    plan = Plan(request, deployment, store)
    lists = plan.collect(on_progress, upload=False, compare=compare)
    made = tuple(_submission(None, group_lists, created=False) for group_lists in lists if group_lists.pairs)
    matrices = [
        group_lists.matrix(group.settings)
        for group, group_lists in zip(plan.groups, lists, strict=True)
        if group_lists.pairs
    ]
    return ManifestSubmission(made, plan.rejected, plan.tally), matrices


def submit_manifest(
    request: ManifestRequest, connection: Connection, on_progress: OnProgress | None
) -> ManifestSubmission:
    """Check every row, upload, write all files, and only then open one batch after the other.

    Whoever is stopped between two openings submits again: what is open answers to its token, and the rest is
    opened then.
    """
    connection.check()
    plan = Plan(request, connection.deployment, connection.store)
    earlier = [connection.ledger.opened_by(group.token) for group in plan.groups]
    if None not in earlier:
        known = tuple(earlier_submission(connection, batch, ()) for batch in earlier if batch is not None)
        return ManifestSubmission(known, ())
    lists = plan.collect(on_progress, upload=True)
    written: list[tuple[BatchSpec, GroupLists] | str] = []
    for group, group_lists, batch in zip(plan.groups, lists, earlier, strict=True):
        if batch is not None:
            written.append(batch)
        elif group_lists.pairs:
            spec = make_spec(
                connection.store,
                group.settings,
                contents=len(group_lists.pairs),
                styles=len(group_lists.pairs),
                pairs="zip",
                name=group.name,
                owner=request.owner,
                priority=request.priority,
                token=group.token,
                output_names=request.output_names,
            )
            connection.batches.write(spec, group_lists.contents(), group_lists.styles())
            written.append((spec, group_lists))
    made: list[Submission] = []
    try:
        for one in written:
            made.append(_open(connection, one))
    except KeyboardInterrupt as interrupt:
        if not made:
            raise
        raise KeyboardInterrupt(
            f"{len(made):,} of {len(written):,} batches were submitted: impasto status lists them"
        ) from interrupt
    return ManifestSubmission(tuple(made), plan.rejected, plan.tally)


def _open(connection: Connection, written: tuple[BatchSpec, GroupLists] | str) -> Submission:
    """What was written, or the id of an earlier batch."""
    if isinstance(written, str):
        return earlier_submission(connection, written, ())
    spec, group_lists = written
    opened = open_batch(connection, spec)
    if opened != spec.batch:
        return earlier_submission(connection, opened, group_lists.rejected)
    return _submission(opened, group_lists, created=True)


def _submission(batch: str | None, lists: GroupLists, *, created: bool) -> Submission:
    return Submission(
        batch,
        len(lists.pairs),
        len(lists.pairs),
        len(lists.pairs),
        lists.rejected,
        created,
        lists.duplicates,
        masks=sum(content.mask is not None for content, _ in lists.pairs),
    )
