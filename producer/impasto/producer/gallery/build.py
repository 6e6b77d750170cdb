"""A batch's gallery, made or brought up to date: pictures, thumbnails, data, page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from impasto.producer.collect import OnProgress, Progress
from impasto.producer.connection import Connection
from impasto.producer.fetch import fetch
from impasto.producer.gallery.page import data_script, index_page, page_files
from impasto.producer.gallery.pair import Pair, read_pairs
from impasto.producer.gallery.places import ASSETS, FolderPlace, Place, StorePlace
from impasto.producer.gallery.shown import Shown, show_inputs, show_outputs
from impasto.producer.gallery.thumbnails import Thumbnails
from impasto.producer.parallel import each
from impasto.shared import layout
from impasto.shared.errors import BadSettings
from impasto.shared.ledger import BatchState, BatchStatus, PairState
from impasto.shared.store.inputs import open_input_reader

_DECODERS: Final = min(4, os.cpu_count() or 1)
"""A decoded picture takes many times its file: so many are in memory at a time."""

MOST_PAIRS: Final = 100_000
"""Of one page: beyond them a browser has too much of it."""

PICTURES: Final = "pictures"
"""The folder of the pictures beside a page; in a folder that `fetch` made they lie beside it themselves."""


@dataclass(frozen=True)
class Gallery:
    """Where a batch's gallery is, and what it shows.

    `index`: the page's path, or its key in the store. `url`: what a browser opens, `file://…` or `http(s)://…`;
    of S3 the bucket's own address, which asks for the right to read it. `made`: thumbnails made this time.
    `problems`: pictures and inputs that the page can only name, a line each. `is_over`: whether every pair is
    settled; if not, build it again later.
    """

    batch: str
    name: str
    state: BatchState
    is_over: bool
    index: str
    url: str
    pairs: int
    pictures: int
    failed: int
    made: int
    problems: tuple[str, ...]


def build_gallery(
    connection: Connection,
    batch: str,
    *,
    folder: Path | None = None,
    put: bool = False,
    on_progress: OnProgress | None = None,
) -> Gallery:
    """Make the gallery of a batch (a whole id), or bring it up to date, in `folder` or in the store.

    With `put` it goes into the store, as `batches/<batch>/gallery/index.html` and what that needs, and links
    the outputs where they lie; `Gallery.index` is then the page's key and `Gallery.url` its address.
    Otherwise it goes into `folder` (`gallery-<batch>` unless given): `index.html` there, the pictures in
    `pictures/`, or where they are if `fetch` brought them into that folder before.

    The batch may still run. Built again, only what is new is downloaded and made. A picture that is missing
    or damaged, an input that can't be read here, is shown as such and is one of `problems`. Raises
    NoSuchBatch, ObjectMissing when the batch was purged from the store, BadSettings for a folder that can't
    be written or a batch of more than `MOST_PAIRS`, and the store's errors when it does not answer.
    """
    status = connection.ledger.status(batch)
    if status.total > MOST_PAIRS:
        raise BadSettings(
            f"batch {batch} has {status.total:,} pairs, and a page shows at most {MOST_PAIRS:,}: "
            "its report.csv lists them all"
        )
    spec = connection.batches.spec(batch)
    # Asked before the pictures are fetched: whatever is done by now has its picture in the store.
    done = set(connection.ledger.done_pairs(batch))
    place: Place
    if put:
        place = StorePlace(connection.store, batch)
    else:
        home = folder if folder is not None else Path(f"gallery-{batch}")
        pictures = _pictures_folder(connection, batch, home)
        fetch(connection.store, batch, spec.total, pictures, on_progress)
        place = FolderPlace(home, pictures, batch)
    pairs = list(read_pairs(connection, status, done, place))
    thumbnails = Thumbnails(
        place,
        open_input_reader(connection.deployment, connection.store),
        connection.deployment.max_input_pixels,
    )
    contents, styles = show_inputs(connection.batches, spec, pairs)
    outputs = show_outputs(pairs)
    shown = [*contents, *styles, *outputs.values()]
    made, problems = _make(thumbnails, shown, on_progress)
    for name, data, content_type in page_files():
        place.write(f"{ASSETS}{name}", data, content_type)
    script = data_script(status, spec, pairs, contents, styles, outputs, place)
    place.write(f"{ASSETS}data.js", script, "text/javascript; charset=utf-8")
    # The page comes last: whoever sees it finds all that it names.
    place.write("index.html", index_page(status, spec, pairs, place), "text/html; charset=utf-8")
    thumbnails.remove_stale(shown)
    return _answer(place, status, pairs, made, problems)


def _pictures_folder(connection: Connection, batch: str, home: Path) -> Path:
    """Where pictures go: beside the page if a fetch brought one there before."""
    prefix = layout.outputs_prefix(batch)
    for info in connection.store.list(prefix):
        if info.key.endswith(".json") and (home / info.key.removeprefix(prefix)).is_file():
            return home
    return home / PICTURES


def _make(
    thumbnails: Thumbnails, shown: Sequence[Shown], on_progress: OnProgress | None
) -> tuple[int, list[str]]:
    """How many thumbnails were made, and a line for each picture of which there is none."""
    made = 0
    problems: list[str] = []
    total_bytes = sum(one.size_bytes for one in shown)
    bytes_done = 0
    for number, (one, count) in enumerate(each(thumbnails.make, shown, threads=_DECODERS), start=1):
        made += count
        bytes_done += one.size_bytes
        if one.problem is not None:
            problems.append(one.problem)
        if on_progress is not None:
            on_progress(Progress("thumbnails", number, len(shown), bytes_done, total_bytes))
    return made, problems


def _answer(
    place: Place, status: BatchStatus, pairs: Sequence[Pair], made: int, problems: Sequence[str]
) -> Gallery:
    lost = [pair.problem for pair in pairs if pair.problem is not None]
    return Gallery(
        batch=status.batch,
        name=status.name,
        state=status.state,
        is_over=status.is_over,
        index=place.index,
        url=place.url,
        pairs=len(pairs),
        pictures=sum(pair.result is not None for pair in pairs),
        failed=sum(pair.state is PairState.FAILED for pair in pairs),
        made=made,
        problems=(*lost, *problems),
    )
