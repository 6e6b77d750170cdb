"""What to submit, checked as far as it can be without reading an input, and what came of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from PIL import Image

from impasto.producer.blends import Blend
from impasto.producer.collect import Tally
from impasto.producer.kinds import Kind
from impasto.producer.masks import Masked
from impasto.producer.memory import Picture
from impasto.producer.sources import Rejected, Source
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, NothingToSubmit
from impasto.shared.output_names import check_output_names
from impasto.shared.settings import StyleSettings

DEFAULT_PRESET: Final = "gallery"

Pairs = Literal["product", "zip"]
Sources = str | Path | Picture | Iterable[str | Path | Picture]
ContentSources = str | Path | Picture | Masked | Iterable[str | Path | Picture | Masked]
StyleSources = str | Path | Picture | Blend | Iterable[str | Path | Picture | Blend]
_One = TypeVar("_One", str | Path | Picture, str | Path | Picture | Masked, str | Path | Picture | Blend)


@dataclass(frozen=True)
class Submission:
    """What came of a submission. `batch` is None after a dry run; `created` False when it was there already.

    `duplicates` counts inputs with the same bytes as another, `skipped` files in folders that are no
    pictures and `skipped_kinds` these by what they are, `masks` contents that have one; none is known (0) of
    a batch that an earlier submission with the same token made. `tally` is what reading and uploading took.
    `earlier_at` is when the batch was made that was there already.
    """

    batch: str | None
    pairs: int
    contents: int
    styles: int
    rejected: tuple[Rejected, ...]
    created: bool
    duplicates: int = 0
    skipped: int = 0
    masks: int = 0
    skipped_kinds: Mapping[Kind, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    earlier_at: datetime | None = None


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

    contents: tuple[Source | Masked, ...]
    styles: tuple[Source | Blend, ...]
    settings: StyleSettings
    masks: tuple[Source, ...] = ()
    name: str | None = None
    owner: str = ""
    priority: int = 5
    pairs: Pairs = "product"
    token: str | None = None
    strict: bool = False
    again: bool = False
    recheck: bool = False
    output_names: str | None = None

    def __post_init__(self) -> None:
        check_heading(self.name, self.token, self.priority)
        if self.output_names is not None:
            check_output_names(self.output_names)
        if self.pairs not in ("product", "zip"):
            raise BadSettings(f"pairs is {self.pairs!r}: give product or zip")
        for what, given in (("contents", len(self.contents)), ("styles", len(self.styles))):
            if not given:
                raise SubmissionRefused(f"no {what} were given")
        blends = Counter(style.name for style in self.styles if isinstance(style, Blend))
        for name, times in blends.items():
            if times > 1:
                raise BadSettings(f"{times} blends are called {name}: give each a name of its own")


def check_heading(name: str | None, token: str | None, priority: int) -> None:
    """Raises BadSettings for what no batch may be called, and for a priority that is none."""
    if not 0 <= priority <= 9:
        raise BadSettings(f"priority is {priority}: give 0 (served first) to 9")
    for what, text in (("name", name), ("token", token)):
        if text is not None and not (1 <= len(text) <= 200 and text.isprintable()):
            raise BadSettings(f"the {what} must have 1 to 200 printable characters")


def as_sources(sources: _One | Iterable[_One]) -> tuple[_One, ...]:
    """One source or many, as a tuple. Raises BadSettings for what is none, such as bytes without a name."""
    if isinstance(sources, str | Path | Picture | Masked | Blend):
        return (sources,)
    if isinstance(sources, bytes | Image.Image):
        raise _no_source(sources)
    given = tuple(sources)
    for one in given:
        if not isinstance(one, str | Path | Picture | Masked | Blend):
            raise _no_source(one)
    return given


def _no_source(given: object) -> BadSettings:
    return BadSettings(
        f"{type(given).__name__} is no source: give a path, an address, or Picture(name, …) "
        "around bytes or a Pillow image"
    )


def setting_value(key: str, text: str) -> Any:
    """A setting written as text: JSON where it is some, else the text itself; lists also with commas."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    known = StyleSettings.model_fields.get(key)
    if known is None or isinstance(value, list) or value is None:
        return value
    kinds = get_args(known.annotation) if get_origin(known.annotation) is UnionType else (known.annotation,)
    if str in kinds:
        return text
    if any(get_origin(kind) is tuple for kind in kinds):
        return [part.strip() for part in text.split(",") if part.strip()]
    return value


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
    made = StyleSettings.preset(preset or DEFAULT_PRESET, **fields)
    _check_weights(made)
    return made


def _check_weights(settings: StyleSettings) -> None:
    """What no worker could load, told before the upload and not by every pair."""
    weights = settings.weights
    if weights == "caffe" and settings.network != "vgg19":
        raise BadSettings(f"the caffe weights are of vgg19, not {settings.network}: set weights=torchvision")
    if weights not in ("caffe", "torchvision") and not re.search(r"[/.]", weights):
        raise BadSettings(
            f"unknown weights {weights!r}: give caffe, torchvision, or a state dict's path on the workers"
        )
