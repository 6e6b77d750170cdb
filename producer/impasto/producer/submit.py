"""A submission: sources to a batch that is visible whole, or not at all."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from impasto.producer.collect import Collected, Collector, OnProgress
from impasto.producer.connection import Connection
from impasto.producer.sources import Candidate, Found, Rejected, find
from impasto.shared import layout
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, ImpastoError, NothingToSubmit
from impasto.shared.jobs import BatchSpec, InputRef
from impasto.shared.ledger import BatchOpening
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import InputReader

DEFAULT_PRESET: Final = "gallery"

Pairs = Literal["product", "zip"]
Sources = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class Submission:
    """What came of a submission. `batch` is None after a dry run; `created` False when it was there already.

    `duplicates` counts inputs with the same bytes as another, `skipped` files in folders that are no
    pictures; neither is known (0) of a batch that an earlier submission with the same token made.
    """

    batch: str | None
    pairs: int
    contents: int
    styles: int
    rejected: tuple[Rejected, ...]
    created: bool
    duplicates: int = 0
    skipped: int = 0


class SubmissionRefused(NothingToSubmit):
    """Nothing was submitted, since no pair was left or since `strict` allows no rejected input.

    `rejected` names every input and why.
    """

    def __init__(self, message: str, rejected: tuple[Rejected, ...] = ()) -> None:
        super().__init__(message)
        self.rejected = rejected


@dataclass(frozen=True)
class Request:
    """What to submit; the fields are those of `Client.submit`."""

    contents: tuple[str | Path, ...]
    styles: tuple[str | Path, ...]
    settings: StyleSettings
    name: str | None = None
    owner: str = ""
    priority: int = 5
    pairs: Pairs = "product"
    token: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.priority <= 9:
            raise BadSettings(f"priority is {self.priority}: give 0 (served first) to 9")
        if self.pairs not in ("product", "zip"):
            raise BadSettings(f"pairs is {self.pairs!r}: give product or zip")
        if self.token is not None and not 1 <= len(self.token) <= 200:
            raise BadSettings("the token must have 1 to 200 characters")
        if self.name is not None and not (1 <= len(self.name) <= 200 and self.name.isprintable()):
            raise BadSettings("the name must have 1 to 200 printable characters")
        for what, sources in (("contents", self.contents), ("styles", self.styles)):
            if not sources:
                raise SubmissionRefused(f"no {what} were given")


def as_sources(sources: Sources) -> tuple[str | Path, ...]:
    """One source or many, as a tuple."""
    return (sources,) if isinstance(sources, str | Path) else tuple(sources)


def make_settings(
    deployment: Deployment, settings: StyleSettings | Mapping[str, Any] | None, preset: str | None
) -> StyleSettings:
    """Whole settings as they are; else a preset with some fields replaced, and the deployment's weights.

    Raises BadSettings.
    """
    if isinstance(settings, StyleSettings):
        if preset is not None:
            raise BadSettings("give a preset or whole settings, not both")
        return settings
    fields = {"weights": deployment.weights, **(settings or {})}
    return StyleSettings.preset(preset or DEFAULT_PRESET, **fields)


@dataclass(frozen=True)
class _Lists:
    contents: list[InputRef]
    styles: list[InputRef]
    rejected: tuple[Rejected, ...]
    duplicates: int
    skipped: int


def check_only(
    request: Request, deployment: Deployment, store: ObjectStore, on_progress: OnProgress | None
) -> Submission:
    """Everything but the submission: finds and checks all inputs, uploads and opens nothing."""
    lists = _collect(request, deployment, store, on_progress, upload=False)
    return Submission(
        None,
        _count(request, lists),
        len(lists.contents),
        len(lists.styles),
        lists.rejected,
        False,
        lists.duplicates,
        lists.skipped,
    )


def submit(request: Request, connection: Connection, on_progress: OnProgress | None) -> Submission:
    """Check, upload, write the batch's files, open it in the ledger, put its first window on the queue.

    Opening is the commit: before it nothing is visible, after it the batch runs even when this process dies,
    since workers publish what is due.
    """
    # Hours of upload would be lost on a Redis or a bucket that isn't there.
    connection.check()
    if request.token is not None:
        earlier = connection.ledger.opened_by(request.token)
        if earlier is not None:
            return _earlier(connection, earlier, ())
    lists = _collect(request, connection.deployment, connection.store, on_progress, upload=True)
    spec = _spec(request, lists, _fresh_id(request, connection.store))
    connection.batches.write(spec, lists.contents, lists.styles)
    opened = connection.ledger.open(
        BatchOpening(spec.batch, spec.total, spec.name, priority=spec.priority, token=spec.token)
    )
    if not opened.created:
        return _earlier(connection, opened.batch, lists.rejected)
    # If it can't be published it stands all the same: the workers' next sweep finds what is due.
    with contextlib.suppress(ImpastoError):
        connection.dispatcher.advance(spec.batch)
    return Submission(
        spec.batch,
        spec.total,
        spec.contents,
        spec.styles,
        lists.rejected,
        True,
        lists.duplicates,
        lists.skipped,
    )


def _earlier(connection: Connection, batch: str, rejected: tuple[Rejected, ...]) -> Submission:
    """The batch that the same token made before."""
    spec = connection.batches.spec(batch)
    return Submission(batch, spec.total, spec.contents, spec.styles, rejected, False)


def _collect(
    request: Request,
    deployment: Deployment,
    store: ObjectStore,
    on_progress: OnProgress | None,
    *,
    upload: bool,
) -> _Lists:
    """Both lists, checked. Raises SubmissionRefused when no pair is left, or strict has something to refuse."""
    reader = InputReader(
        store,
        allowed_prefixes=deployment.input_prefixes,
        limit_bytes=deployment.max_input_bytes,
    )
    found: dict[layout.InputList, Found] = {
        "contents": find(request.contents, list_objects=reader.list),
        "styles": find(request.styles, list_objects=reader.list),
    }
    # Styles are few: a mistake in them shows before the contents are read.
    order: tuple[layout.InputList, ...] = ("styles", "contents")
    rejected = [r for name in ("contents", "styles") for r in found[name].rejected]
    zipped = request.pairs == "zip"
    if zipped:
        _same_length(found["contents"].candidates, found["styles"].candidates, rejected)
    collector = Collector(deployment, store, reader, upload=upload)
    collected: dict[layout.InputList, Collected] = {}
    for name in order:
        if request.strict and rejected:
            collector.upload = False
        collected[name] = collector.collect(
            name, found[name].candidates, keep_places=zipped, on_progress=on_progress
        )
        rejected += collected[name].rejected
    contents, styles = collected["contents"], collected["styles"]
    if zipped:
        kept = [
            (c, s) for c, s in zip(contents.refs, styles.refs, strict=True) if c is not None and s is not None
        ]
        content_refs, style_refs = [c for c, _ in kept], [s for _, s in kept]
    else:
        content_refs = [ref for ref in contents.refs if ref is not None]
        style_refs = [ref for ref in styles.refs if ref is not None]
    _refuse_if_empty(request, content_refs, style_refs, tuple(rejected))
    return _Lists(
        content_refs,
        style_refs,
        tuple(rejected),
        contents.duplicates + styles.duplicates,
        found["contents"].skipped + found["styles"].skipped,
    )


def _same_length(contents: list[Candidate], styles: list[Candidate], rejected: list[Rejected]) -> None:
    if len(contents) != len(styles):
        raise SubmissionRefused(
            f"zip pairs the first content with the first style and so on, but there are "
            f"{len(contents)} contents and {len(styles)} styles; nothing was submitted",
            tuple(rejected),
        )


def _refuse_if_empty(
    request: Request, contents: list[InputRef], styles: list[InputRef], rejected: tuple[Rejected, ...]
) -> None:
    if request.strict and rejected:
        raise SubmissionRefused(
            f"{_inputs(len(rejected))} rejected and strict allows none; nothing was submitted", rejected
        )
    for what, refs in (("content", contents), ("style", styles)):
        if not refs:
            raise SubmissionRefused(
                f"no {what} is left: {_inputs(len(rejected))} rejected; nothing was submitted",
                rejected,
            )


def _inputs(count: int) -> str:
    return f"{count} input was" if count == 1 else f"{count} inputs were"


def _count(request: Request, lists: _Lists) -> int:
    if request.pairs == "zip":
        return len(lists.contents)
    return len(lists.contents) * len(lists.styles)


def _spec(request: Request, lists: _Lists, batch: str) -> BatchSpec:
    now = datetime.now(UTC)
    try:
        return BatchSpec(
            batch=batch,
            name=request.name or f"{now:%Y-%m-%d %H:%M} UTC",
            owner=request.owner,
            created_at=now,
            pairs=request.pairs,
            contents=len(lists.contents),
            styles=len(lists.styles),
            settings=request.settings,
            priority=request.priority,
            token=request.token,
        )
    except ValidationError as error:
        raise BadSettings("; ".join(str(e["msg"]) for e in error.errors())) from error


def _fresh_id(request: Request, store: ObjectStore) -> str:
    """`<name or time>-<6 random>`, unlike that of any batch in the store."""
    text = unicodedata.normalize("NFKD", request.name or "").encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:60].strip("-")
    slug = slug or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    while True:
        batch = f"{slug}-{base64.b32encode(secrets.token_bytes(4)).decode().lower()[:6]}"
        if store.head(layout.spec_key(batch)) is None:
            return batch
