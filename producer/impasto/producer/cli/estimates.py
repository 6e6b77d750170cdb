"""How an estimate is asked for and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import typer

from impasto.producer.blends import Blend
from impasto.producer.cli.answers import as_columns, as_json, duration
from impasto.producer.cli.screen import Screen, counted, megabytes
from impasto.producer.cli.submissions import matrix, submission_fields
from impasto.producer.collect import OnProgress
from impasto.producer.manifest import ManifestFormat
from impasto.producer.request import Pairs

if TYPE_CHECKING:
    from impasto.producer.client import Client
    from impasto.producer.estimate import Estimate

_RUN_ONE: Final = "make a pair or two with these settings, and ask again"


def estimated(
    client: Client,
    manifest: str | None,
    manifest_format: ManifestFormat | None,
    contents: Sequence[str],
    styles: Sequence[str | Blend],
    masks: Sequence[str],
    *,
    preset: str,
    settings: Mapping[str, Any],
    pairs: Pairs,
    strict: bool,
    recheck: bool,
    on_progress: OnProgress,
    output_names: str | None = None,
    workers: int | None = None,
    price_per_hour: float | None = None,
) -> Estimate:
    """Of a manifest, or of lists."""
    if manifest is not None:
        return client.estimate_manifest(
            manifest,
            format=manifest_format,
            preset=preset,
            settings=settings,
            strict=strict,
            workers=workers,
            price_per_hour=price_per_hour,
            recheck=recheck,
            output_names=output_names,
            on_progress=on_progress,
        )
    return client.estimate(
        contents,
        styles,
        masks=masks,
        preset=preset,
        settings=settings,
        pairs=pairs,
        strict=strict,
        workers=workers,
        price_per_hour=price_per_hour,
        recheck=recheck,
        output_names=output_names,
        on_progress=on_progress,
    )


def tell_estimate(estimate: Estimate, screen: Screen, *, what: str, as_json_: bool) -> None:
    """On stdout; in JSON a line a batch to be, the last with the estimate of all."""
    for note in estimate.notes:
        screen.note(note)
    if as_json_:
        *others, last = estimate.submissions
        for submission in others:
            as_json(submission_fields(submission, dry_run=True))
        as_json({**submission_fields(last, dry_run=True), "estimate": _fields(estimate)})
        return
    for submission in estimate.submissions:
        typer.echo(f"{what}: {matrix(submission)}; nothing was submitted")
    as_columns(_rows(estimate))


def _fields(estimate: Estimate) -> dict[str, Any]:
    """The public form of an estimate; seconds, bytes and cost are null where they are not known."""
    finish_seconds = estimate.finish_seconds
    return {
        "pairs": estimate.pairs,
        "megapixels": round(estimate.megapixels, 3),
        "made": estimate.made,
        "made_asked": estimate.made_asked,
        "seconds": None if estimate.seconds is None else round(estimate.seconds, 1),
        "measured_pairs": estimate.measured_pairs,
        "measured_same_settings": estimate.measured_same,
        "devices": list(estimate.devices),
        "workers": estimate.workers,
        "workers_living": estimate.workers_living,
        "finish_seconds": None if finish_seconds is None else round(finish_seconds, 1),
        "finish_at": None if finish_seconds is None else _at(finish_seconds).isoformat(timespec="seconds"),
        "upload_inputs": estimate.upload.uploaded,
        "upload_bytes": estimate.upload.uploaded_bytes,
        "inputs_there": estimate.upload.there,
        "result_bytes": estimate.result_bytes,
        "measured_results": estimate.measured_results,
        "price_per_hour": estimate.price_per_hour,
        "cost": None if estimate.cost is None else round(estimate.cost, 2),
        "notes": list(estimate.notes),
    }


def _rows(estimate: Estimate) -> list[tuple[str, str]]:
    rows = [
        ("pairs", f"{estimate.pairs:,}, {estimate.megapixels:,.1f} megapixels{_made(estimate)}"),
        ("work", _work(estimate)),
    ]
    if estimate.finish_seconds is not None:
        at = f"{_at(estimate.finish_seconds).astimezone():%Y-%m-%d %H:%M}"
        finish = f"in {duration(estimate.finish_seconds)} ({at}) with {_workers(estimate)}"
        rows.append(("finish", f"{finish}, if nothing else runs"))
    rows += [("uploads", _uploads(estimate)), ("results", _results(estimate))]
    if estimate.cost is not None:
        rows.append(("cost", f"{estimate.cost:,.2f} at {estimate.price_per_hour:g} for an hour of a worker"))
    elif estimate.price_per_hour is not None:
        rows.append(("cost", "not known, as the time is not"))
    return rows


def _made(estimate: Estimate) -> str:
    if not estimate.made:
        return ""
    if estimate.made_asked == estimate.pairs:
        return f"; {estimate.made:,} of the pairs were made before"
    about = f"{estimate.made_in_all:,} of the pairs were made before"
    return f"; about {about} (by {estimate.made_asked:,} of them)"


def _work(estimate: Estimate) -> str:
    if estimate.seconds is None:
        return f"not known: nothing like it was made here yet; {_RUN_ONE}"
    by = f"by {counted(estimate.measured_pairs, 'pair')} that were made on {', '.join(estimate.devices)}"
    how = "with these settings" if estimate.measured_same else "at other sizes or steps, so roughly"
    return f"{duration(estimate.seconds)} of one worker, {by} {how}"


def _workers(estimate: Estimate) -> str:
    workers = counted(estimate.workers, "worker")
    if estimate.workers_given:
        return workers
    if estimate.workers_living:
        return f"{workers} (alive now)"
    return f"{workers} (none is alive)"


def _uploads(estimate: Estimate) -> str:
    upload = estimate.upload
    if upload.problem is not None:
        return f"{counted(upload.uploaded, 'input')} at least, as the store can't be asked"
    there = f"; {upload.there:,} are in the store already" if upload.there else ""
    return f"{counted(upload.uploaded, 'input')}, {megabytes(upload.uploaded_bytes)}{there}"


def _results(estimate: Estimate) -> str:
    if estimate.result_bytes is None:
        return f"not known: no result of this format is here yet; {_RUN_ONE}"
    guess = f"a guess by {counted(estimate.measured_results, 'result')} of the format"
    return f"{megabytes(estimate.result_bytes)} ({guess})"


def _at(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
