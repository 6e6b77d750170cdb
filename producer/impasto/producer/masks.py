"""Masks: which content each belongs to."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from impasto.producer.memory import Picture
from impasto.producer.sources import (
    Candidate,
    Found,
    ListObjects,
    Rejected,
    Source,
    find,
    find_single,
    name_of,
)
from impasto.shared.printable import printable


@dataclass(frozen=True)
class Masked:
    """One content with the mask that says where the style applies: white there, black where the photograph
    stays. Each is a file, an address (`s3://…`, `store:…`) or a `Picture`.
    """

    content: str | Path | Picture
    mask: str | Path | Picture


def find_contents(
    contents: Iterable[Source | Masked], masks: Iterable[Source], *, list_objects: ListObjects
) -> Found:
    """All single contents, each with its mask where it has one.

    A mask of `masks` belongs to the content of the same name without the extension, and in the same folder
    below their sources. What belongs to none or to several is rejected, and with a mask goes its content:
    styled whole it would be what nobody asked for. Raises as `find`.
    """
    found = Found()
    plain: list[Source] = []
    for source in contents:
        if isinstance(source, Masked):
            found.add(find(plain, list_objects=list_objects))
            plain = []
            _add_masked(source, found, list_objects)
        else:
            plain.append(source)
    found.add(find(plain, list_objects=list_objects))
    of_masks = find(masks, list_objects=list_objects)
    found.rejected += of_masks.rejected
    found.kinds += of_masks.kinds
    _assign([mask for mask in of_masks.candidates if not mask.left_out], found)
    return found


def without_content(mask: str, error: str, contents: Iterable[str]) -> Rejected:
    """The mask, rejected, and the contents that are left out with it."""
    names = [printable(content) for content in contents]
    verb = "is" if len(names) == 1 else "are"
    return Rejected(mask, f"{error}; {_listed(names)} {verb} left out with it")


def stem_of(candidate: Candidate) -> str:
    """The input's name below its source, without the extension; equal however its letters are composed."""
    below = candidate.name.removeprefix(candidate.folder).lstrip("/")
    return unicodedata.normalize("NFC", os.path.splitext(below)[0])  # noqa: PTH122


def _add_masked(source: Masked, found: Found, list_objects: ListObjects) -> None:
    content = find_single(source.content, list_objects=list_objects)
    if isinstance(content, Rejected):
        found.rejected.append(content)
        # Its place stays, so that a zip does not shift.
        found.candidates.append(Candidate(name_of(source.content), 0, left_out=True))
        return
    mask = find_single(source.mask, list_objects=list_objects)
    if isinstance(mask, Rejected):
        found.rejected.append(without_content(mask.input, mask.error, [content.name]))
        found.candidates.append(replace(content, left_out=True))
        return
    found.candidates.append(replace(content, mask=mask))


def _assign(masks: list[Candidate], found: Found) -> None:
    places: defaultdict[str, list[int]] = defaultdict(list)
    if masks:
        for place, content in enumerate(found.candidates):
            if content.mask is None and not content.left_out:
                places[stem_of(content)].append(place)
    by_stem: defaultdict[str, list[Candidate]] = defaultdict(list)
    for mask in masks:
        by_stem[stem_of(mask)].append(mask)
    for stem, same in by_stem.items():
        belongs_to = places.get(stem, [])
        # A content may be named more than once: zipped, with one style after the other.
        names = list(dict.fromkeys(found.candidates[place].name for place in belongs_to))
        fits = len(same) == len(names) == 1
        for place in belongs_to:
            content = found.candidates[place]
            found.candidates[place] = (
                replace(content, mask=same[0]) if fits else replace(content, left_out=True)
            )
        if fits:
            continue
        for mask in same:
            found.rejected.append(_misfit(mask, stem, same, names))


def _misfit(mask: Candidate, stem: str, same: list[Candidate], contents: list[str]) -> Rejected:
    if not contents:
        return Rejected(
            mask.name,
            f"no content is called {printable(stem)}: "
            "give the mask the name of its content, and the folder below the source",
        )
    if len(same) > 1:
        return without_content(
            mask.name, f"{len(same)} masks are called {printable(stem)}: leave one", contents
        )
    return without_content(
        mask.name,
        f"{len(contents)} contents are called {printable(stem)}: give each a name of its own, and a mask",
        contents,
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
