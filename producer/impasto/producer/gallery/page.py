"""The page's files: its data as a script, and the template filled with what needs no script."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from impasto.producer.gallery.pair import Pair
from impasto.producer.gallery.places import Place
from impasto.producer.gallery.shown import Shown
from impasto.shared.jobs import BatchSpec
from impasto.shared.ledger import BatchState, BatchStatus, PairState
from impasto.shared.printable import printable
from impasto.shared.settings import StyleSettings

LISTED_WITHOUT_SCRIPT: Final = 5000
"""The page itself must stay quick: beyond so many links the list says where the rest is told."""

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FILES: Final = files("impasto.producer.gallery") / "files"
_DIGITS: Final = 4


def page_files() -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and content type of what every gallery has alike."""
    for name in ("gallery.css", "viewer.js", "sheet.js", "gallery.js", "icon.svg"):
        yield name, (_FILES / name).read_bytes(), _TYPES[name.rpartition(".")[2]]


def data_script(
    status: BatchStatus,
    spec: BatchSpec,
    pairs: Sequence[Pair],
    contents: Sequence[Shown],
    styles: Sequence[Shown],
    outputs: Mapping[int, Shown],
    place: Place,
) -> bytes:
    """All that the page shows, as one script: a page from disk may load scripts, but read no files."""
    data = {
        "batch": status.batch,
        "name": printable(status.name),
        "product": spec.pairs == "product",
        "contents": [_input_fields(shown) for shown in contents],
        "styles": [_input_fields(shown) for shown in styles],
        "pairs": [_pair_fields(pair, outputs.get(pair.pair), place) for pair in pairs],
        "facts": facts(status, spec, pairs),
        "settings": _settings(spec.settings),
    }
    return f"window.impastoGallery = {json.dumps(data, separators=(',', ':'))};\n".encode("ascii")


def index_page(status: BatchStatus, spec: BatchSpec, pairs: Sequence[Pair], place: Place) -> bytes:
    """The page: header, facts and links in itself, all the rest by its scripts. Every text is escaped."""
    fields = {
        "name": printable(status.name),
        "batch": status.batch,
        "summary": _summary(status, pairs),
        "written": _utc(datetime.now(UTC)),
    }
    texts = {name: escape(text) for name, text in fields.items()}
    markup = {
        "unfinished": "" if status.is_over else f'<p class="note" role="note">{_note(status)}</p>',
        "links": "\n".join(_links(pairs, place)),
    }
    template = Template((_FILES / "index.html").read_text(encoding="utf-8"))
    return template.substitute(texts | markup).encode()


def facts(status: BatchStatus, spec: BatchSpec, pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """What there is to know of the batch as a whole, by labels."""
    results = [pair.result for pair in pairs if pair.result is not None]
    states = Counter(pair.state for pair in pairs)
    counts = ", ".join(f"{states[state]:,} {state.value}" for state in PairState if states[state])
    told = [
        ("Batch", status.batch),
        ("State", status.state.value),
        ("Pairs", counts),
        ("Contents", f"{spec.contents:,}"),
        ("Styles", f"{spec.styles:,}" + ("" if spec.pairs == "product" else ", one a content")),
        ("Created", _utc(spec.created_at)),
    ]
    if spec.owner:
        told.append(("Owner", printable(spec.owner)))
    if status.finished_ms is not None:
        told.append(("Finished", _utc(datetime.fromtimestamp(status.finished_ms / 1000, UTC))))
    if results:
        seconds = [result.seconds for result in results]
        told += [
            ("Seconds a picture", f"{statistics.median(seconds):,.1f} (median), {max(seconds):,.1f} at most"),
            ("Pictures together", _megabytes(sum(result.picture_bytes for result in results))),
            ("Network", _each_once(result.weights for result in results)),
            ("Computed on", _each_once(f"{result.device}, {result.precision}" for result in results)),
        ]
    return told


def _input_fields(shown: Shown) -> dict[str, Any]:
    return _without_none(
        name=shown.name,
        thumb=None if shown.problem else shown.thumbnail,
        view=None if shown.problem else shown.view,
        problem=shown.problem,
    )


def _pair_fields(pair: Pair, shown: Shown | None, place: Place) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "pair": pair.pair,
        "content": pair.content,
        "style": pair.style,
        "state": pair.state.value,
        "problem": pair.problem,
    }
    if pair.failure is not None:
        fields |= {
            "error": printable(pair.failure.message),
            "kind": pair.failure.kind,
            "attempts": pair.failure.attempts,
        }
    if pair.result is not None and shown is not None:
        one = pair.result
        fields |= {
            "picture": place.href(one.picture_key),
            "thumb": None if shown.problem else shown.thumbnail,
            "view": None if shown.problem else shown.view,
            "problem": shown.problem,
            "width": one.width_px,
            "height": one.height_px,
            "bytes": one.picture_bytes,
            "steps": one.steps,
            "seconds": one.seconds,
            "losses": [_rounded(one.content_loss), _rounded(one.style_loss), _rounded(one.total_loss)],
            "curve": [number for step, loss in one.curve for number in (step, _rounded(loss))],
            "attempts": one.attempts if one.attempts > 1 else None,
            "finished": one.finished_at,
            "notes": [printable(note) for note in one.notes] or None,
        }
    return _without_none(**fields)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _settings(settings: StyleSettings) -> list[tuple[str, str, bool]]:
    """Each setting with its value, and whether it is other than the default."""
    fields = settings.model_dump(mode="json")
    usual = StyleSettings().model_dump(mode="json")
    return [(name, printable(_said(value)), value != usual[name]) for name, value in fields.items()]


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summary(status: BatchStatus, pairs: Sequence[Pair]) -> str:
    pictures = sum(pair.result is not None for pair in pairs)
    parts = [f"{pictures:,} of {len(pairs):,} pictures" if pictures < len(pairs) else _counted(pictures)]
    failed = sum(pair.state is PairState.FAILED for pair in pairs)
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{status.cancelled:,} cancelled"] if status.cancelled else []
    if status.finished_ms is not None:
        parts.append(f"finished {_utc(datetime.fromtimestamp(status.finished_ms / 1000, UTC))}")
    return ", ".join(parts)


def _counted(pictures: int) -> str:
    return "1 picture" if pictures == 1 else f"{pictures:,} pictures"


def _note(status: BatchStatus) -> str:
    """What whoever opens the page of an unfinished batch should know, as HTML."""
    how = {
        BatchState.PAUSED: "This batch is paused",
        BatchState.CANCELLED: "This batch was cancelled, and its last pairs are stopping",
    }.get(status.state, "This batch is still running")
    return (
        f"{how}: the page shows what was there when it was made. "
        f"<code>impasto gallery {escape(status.batch)}</code> brings it up to date."
    )


def _links(pairs: Sequence[Pair], place: Place) -> Iterator[str]:
    """An item a pair, for whoever runs no scripts."""
    for pair in pairs[:LISTED_WITHOUT_SCRIPT]:
        names = (escape(printable(name)) for name in (pair.content_name, pair.style_name))
        text = " × ".join(f"<bdi>{name}</bdi>" for name in names)
        if pair.result is not None:
            yield f'<li><a href="{escape(place.href(pair.result.picture_key))}">{text}</a></li>'
        else:
            why = pair.failure.message if pair.failure is not None else pair.problem
            yield f"<li>{text}: {escape(printable(why) if why else pair.state.value)}</li>"
    if len(pairs) > LISTED_WITHOUT_SCRIPT:
        rest = len(pairs) - LISTED_WITHOUT_SCRIPT
        yield f"<li>and {rest:,} more pairs, which the batch's report.csv lists</li>"


def _each_once(texts: Iterator[str]) -> str:
    return "; ".join(printable(text) for text in dict.fromkeys(texts))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC")
