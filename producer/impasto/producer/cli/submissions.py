"""How a submission is told, to people and to programs: what it is of, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from impasto.producer.cli.answers import duration
from impasto.producer.cli.screen import Screen, counted, megabytes
from impasto.producer.kinds import KINDS
from impasto.producer.request import Submission
from impasto.producer.sources import Rejected


def matrix(submission: Submission) -> str:
    """`6 pairs (3 contents, 1 of them masked, 2 styles)`."""
    contents, styles = counted(submission.contents, "content"), counted(submission.styles, "style")
    masked = f", {submission.masks:,} of them masked" if submission.masks else ""
    return f"{counted(submission.pairs, 'pair')} ({contents}{masked}, {styles})"


def ago(submission: Submission) -> str:
    """`10 min ago`, of a batch that was there already."""
    earlier_at = submission.earlier_at or datetime.now(UTC)
    return f"{duration(max(0.0, (datetime.now(UTC) - earlier_at).total_seconds()))} ago"


def submission_fields(submission: Submission, *, dry_run: bool) -> dict[str, Any]:
    """The public form of a submission."""
    return {
        "batch": submission.batch,
        "pairs": submission.pairs,
        "contents": submission.contents,
        "styles": submission.styles,
        "masks": submission.masks,
        "rejected": rejected_fields(submission.rejected),
        "duplicates": submission.duplicates,
        "skipped": submission.skipped,
        "skipped_kinds": {kind.replace(" ", "_"): n for kind, n in submission.skipped_kinds.items()},
        "read": submission.tally.read,
        "known": submission.tally.known,
        "uploaded": 0 if dry_run else submission.tally.uploaded,
        "uploaded_bytes": 0 if dry_run else submission.tally.uploaded_bytes,
        "created": submission.created,
        "dry_run": dry_run,
    }


def rejected_fields(rejected: Sequence[Rejected]) -> list[dict[str, str]]:
    return [{"input": one.input, "error": one.error} for one in rejected]


def name_rejected(screen: Screen, rejected: Sequence[Rejected]) -> None:
    """A line each, quiet or not."""
    for one in rejected:
        screen.warn(f"rejected: {one.input}: {one.error}")


def note_left_out(screen: Screen, submission: Submission, *, of_rows: bool) -> None:
    """What is not in it, without being bad."""
    if submission.duplicates:
        others = "rows" if of_rows else "inputs"
        screen.note(f"left out: {counted(submission.duplicates, 'duplicate')} of other {others}")
    if submission.skipped:
        files = counted(submission.skipped, "file")
        screen.note(f"passed over: {files} that can be no picture by the name: {_by_kind(submission)}")


def note_uploads(screen: Screen, submission: Submission) -> None:
    """What it took, where some of it was done before."""
    tally = submission.tally
    if tally.there:
        files = counted(tally.uploaded, "input")
        screen.note(
            f"uploaded: {files}, {megabytes(tally.uploaded_bytes)}; in the store already: {tally.there:,}"
        )


def _by_kind(submission: Submission) -> str:
    """`3 sidecars, 1 video`."""
    kinds = submission.skipped_kinds
    return ", ".join(counted(kinds[kind], kind.removesuffix("s")) for kind in KINDS if kind in kinds)
