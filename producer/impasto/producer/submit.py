"""A submission: sources to a batch that is visible whole, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace

from impasto.producer.blends import FoundStyles, find_styles
from impasto.producer.collect import Collected, Collector, OnProgress, Tally
from impasto.producer.connection import Connection
from impasto.producer.estimate import Matrix
from impasto.producer.kinds import Kind
from impasto.producer.masks import find_contents
from impasto.producer.opening import check_names, make_spec, open_batch
from impasto.producer.own_token import identity, token_or_batch
from impasto.producer.request import Request, Submission, SubmissionRefused
from impasto.producer.sources import Found, Rejected
from impasto.shared.deployment import Deployment
from impasto.shared.jobs import Content, StyleRef
from impasto.shared.output_names import check_tells_apart, uses_path
from impasto.shared.printable import printable
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import open_input_reader


@dataclass(frozen=True)
class _Lists:
    contents: list[Content]
    sizes_px: list[tuple[int, int]]
    styles: list[StyleRef]
    rejected: tuple[Rejected, ...]
    duplicates: int
    kinds: Counter[Kind]
    tally: Tally

    def told(self, submission: Submission) -> Submission:
        """The submission with what is known of its inputs."""
        return replace(
            submission,
            rejected=self.rejected,
            duplicates=self.duplicates,
            skipped=self.kinds.total(),
            masks=sum(content.mask is not None for content in self.contents),
            skipped_kinds=dict(self.kinds),
            tally=self.tally,
        )


def check_only(
    request: Request, deployment: Deployment, store: ObjectStore, on_progress: OnProgress | None
) -> Submission:
    """Everything but the submission: finds and checks all inputs, uploads and opens nothing."""
    return survey(request, deployment, store, on_progress)[0]


def survey(
    request: Request,
    deployment: Deployment,
    store: ObjectStore,
    on_progress: OnProgress | None,
    *,
    compare: bool = False,
) -> tuple[Submission, Matrix]:
    """The same, and the batch that would be; with `compare` also which inputs the store has."""
    lists = _collect(request, deployment, store, on_progress, upload=False, compare=compare)
    contents, styles = len(lists.contents), len(lists.styles)
    zipped = request.pairs == "zip"
    matrix = Matrix(request.settings, lists.contents, lists.sizes_px, lists.styles, zipped)
    return lists.told(Submission(None, matrix.pairs, contents, styles, (), False)), matrix


def submit(request: Request, connection: Connection, on_progress: OnProgress | None) -> Submission:
    """Check, upload, write the batch's files, open it in the ledger, put its first window on the queue.

    Without a token it has one of its own, that whoever submits the same again within a day has too.
    """
    # Hours of upload would be lost on a Redis or a bucket that isn't there.
    connection.check()
    if request.token is not None:
        earlier = connection.ledger.opened_by(request.token)
        if earlier is not None:
            return earlier_submission(connection, earlier, ())
    lists = _collect(request, connection.deployment, connection.store, on_progress, upload=True)
    token = request.token
    if token is None and not request.again:
        token, earlier = token_or_batch(connection.ledger, identity(request, lists.contents, lists.styles))
        if earlier is not None:
            return lists.told(earlier_submission(connection, earlier, ()))
    spec = make_spec(
        connection.store,
        request.settings,
        contents=len(lists.contents),
        styles=len(lists.styles),
        pairs=request.pairs,
        name=request.name,
        owner=request.owner,
        priority=request.priority,
        token=token,
        output_names=request.output_names,
    )
    connection.batches.write(spec, lists.contents, lists.styles)
    batch = open_batch(connection, spec)
    if batch != spec.batch:
        return earlier_submission(connection, batch, lists.rejected)
    return lists.told(Submission(spec.batch, spec.total, spec.contents, spec.styles, (), True))


def earlier_submission(connection: Connection, batch: str, rejected: tuple[Rejected, ...]) -> Submission:
    """The batch that the same token made before."""
    spec = connection.batches.spec(batch)
    return Submission(
        batch, spec.total, spec.contents, spec.styles, rejected, False, earlier_at=spec.created_at
    )


def _collect(
    request: Request,
    deployment: Deployment,
    store: ObjectStore,
    on_progress: OnProgress | None,
    *,
    upload: bool,
    compare: bool = False,
) -> _Lists:
    """Both lists, checked. Raises SubmissionRefused when no pair is left, and in strict for any rejection."""
    reader = open_input_reader(deployment, store)
    contents = find_contents(request.contents, request.masks, list_objects=reader.list)
    styles = find_styles(request.styles, list_objects=reader.list)
    rejected = [*contents.rejected, *styles.rejected]
    zipped = request.pairs == "zip"
    if zipped:
        refuse_unpaired(contents, styles, rejected)
    collector = Collector(
        deployment,
        store,
        reader,
        upload=upload,
        compare=compare,
        recheck=request.recheck,
        paths=uses_path(request.output_names),
    )
    contents_there = [one for one in contents.candidates if not one.left_out]
    styles_there = [one for one in styles.candidates if not one.left_out]
    refuse_if_empty("content", contents_there, rejected)
    refuse_if_empty("style", styles_there, rejected)
    if request.output_names is not None:
        counts = len(contents_there), len(styles_there)
        check_tells_apart(request.output_names, *counts, zipped=zipped)
    if request.masks and not any(candidate.mask is not None for candidate in contents.candidates):
        # A folder's name with a letter wrong would otherwise cost a night of pictures styled whole.
        raise SubmissionRefused(
            f"no mask belongs to a content: {inputs_were(len(rejected))} rejected; nothing was submitted",
            tuple(rejected),
        )

    def admit(what: str, collected: Collected[Content] | Collected[StyleRef]) -> None:
        rejected.extend(collected.rejected)
        refuse_if_empty(what, [*filter(None, collected.refs)], rejected)
        if request.strict and rejected:
            collector.upload = False

    if request.strict and rejected:
        collector.upload = False
    # Styles are few: a mistake in them shows before the contents are read.
    of_styles = collector.styles(styles.candidates, keep_places=zipped, on_progress=on_progress)
    admit("style", of_styles)
    of_contents = collector.contents(contents.candidates, keep_places=zipped, on_progress=on_progress)
    admit("content", of_contents)
    if zipped:
        kept = [
            (c, px, s)
            for c, px, s in zip(of_contents.refs, of_contents.sizes_px, of_styles.refs, strict=True)
            if c is not None and s is not None
        ]
        content_refs, sizes, style_refs = (
            [c for c, _, _ in kept],
            [px for _, px, _ in kept],
            [s for *_, s in kept],
        )
    else:
        content_refs = [ref for ref in of_contents.refs if ref is not None]
        sizes = of_contents.sizes_px
        style_refs = [ref for ref in of_styles.refs if ref is not None]
    refuse_if_empty("pair", content_refs, rejected)
    if request.strict and rejected:
        raise SubmissionRefused(
            f"{inputs_were(len(rejected))} rejected and strict allows none; nothing was submitted",
            tuple(rejected),
        )
    check_names(request.output_names, content_refs, style_refs, zipped=zipped)
    return _Lists(
        content_refs,
        [px for px in sizes if px is not None],
        style_refs,
        tuple(rejected),
        of_contents.duplicates + of_styles.duplicates,
        contents.kinds + styles.kinds,
        collector.tally,
    )


def refuse_unpaired(contents: Found, styles: FoundStyles, rejected: Sequence[Rejected]) -> None:
    """Lists that can't be zipped: told before any of them is read."""
    unplaced = [*contents.unplaced, *styles.unplaced]
    problem = None
    if unplaced:
        # What comes behind it would be paired with what is another's.
        first = unplaced[0]
        problem = (
            f"it is not known how many pictures {printable(first.input)} stands for ({first.error}): "
            "mend it or leave it out"
        )
    elif len(contents.candidates) != len(styles.candidates):
        problem = f"there are {len(contents.candidates)} contents and {len(styles.candidates)} styles"
    if problem is not None:
        raise SubmissionRefused(
            f"zip pairs the first content with the first style and so on, but {problem}; "
            "nothing was submitted",
            tuple(rejected),
        )


def refuse_if_empty(what: str, left: Sized, rejected: Sequence[Rejected]) -> None:
    """Told as soon as it is certain, not after hours of reading the other list."""
    if not left:
        raise SubmissionRefused(
            f"no {what} is left: {inputs_were(len(rejected))} rejected; nothing was submitted",
            tuple(rejected),
        )


def inputs_were(count: int) -> str:
    return f"{count} input was" if count == 1 else f"{count} inputs were"
