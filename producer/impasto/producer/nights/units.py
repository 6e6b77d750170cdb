"""Units: contents, styles and blends as the index remembers them, each with all files it is made of."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from PIL import __version__ as PILLOW_VERSION

from impasto.producer.blends import BlendCandidate, StyleCandidate
from impasto.producer.checked import CheckedBlend, CheckedContent, CheckedStyle, Kept
from impasto.producer.nights.index import Known, unit_of
from impasto.producer.nights.plan import Style
from impasto.producer.sources import Candidate
from impasto.shared.deployment import Deployment
from impasto.shared.output_names import folders_of


def judged_by(deployment: Deployment) -> str:
    """What decides whether bytes are a picture: with another, what was rejected is looked at again."""
    versions = [f"pillow {PILLOW_VERSION}"]
    for package in ("impasto", "pillow-heif"):
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return f"{', '.join(versions)}, {deployment.max_input_bytes} bytes, {deployment.max_input_pixels} pixels"


def parts_of(candidate: StyleCandidate) -> tuple[Candidate, ...]:
    """All files that it is made of."""
    if isinstance(candidate, BlendCandidate):
        return tuple(painting for painting, _ in candidate.paintings)
    return (candidate,) if candidate.mask is None else (candidate, candidate.mask)


def address(part: Candidate) -> str:
    """Where the file lies."""
    return part.uri if part.uri is not None else os.fspath(part.path or part.name)


def unit_from(kind: str, candidate: StyleCandidate) -> bytes:
    """Under what it is remembered; `kind` is content or style."""
    if isinstance(candidate, BlendCandidate):
        return unit_of("blend", candidate.name)
    return unit_of(kind, address(candidate))


def kept_of(answer: CheckedContent | Style) -> tuple[Kept, ...]:
    """Where its files lie now, in the order of `parts_of`."""
    if isinstance(answer, CheckedBlend):
        return tuple(kept for kept, _ in answer.paintings)
    if isinstance(answer, CheckedStyle) or answer.mask is None:
        return (answer.picture,)
    return (answer.picture, answer.mask)


def recalled_content(candidate: Candidate, known: Known, *, paths: bool) -> CheckedContent:
    """A content as it was when it was read; `paths`: output names tell its folders."""
    picture, *masks = _called(candidate, known)
    path = folders_of(candidate.folders) if paths else ""
    return CheckedContent(picture, masks[0] if masks else None, path)


def recalled_style(candidate: StyleCandidate, known: Known) -> Style:
    """The same of a style or a blend."""
    kept = _called(candidate, known)
    if isinstance(candidate, BlendCandidate):
        weights = (weight for _, weight in candidate.paintings)
        return CheckedBlend(candidate.name, tuple(zip(kept, weights, strict=True)))
    return CheckedStyle(kept[0])


def _called(candidate: StyleCandidate, known: Known) -> list[Kept]:
    """Under the names that they have now."""
    parts = parts_of(candidate)
    return [replace(kept, name=part.called) for kept, part in zip(known.kept, parts, strict=True)]
