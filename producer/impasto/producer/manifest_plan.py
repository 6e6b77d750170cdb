"""From a manifest's rows to the lists of each batch: one batch for each of their settings."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from impasto.producer.checked import CheckedBlend, CheckedContent, CheckedStyle
from impasto.producer.collect import Collector, OnProgress, Tally
from impasto.producer.estimate import Matrix
from impasto.producer.manifest import Manifest, Row, place
from impasto.producer.opening import check_names
from impasto.producer.parallel import each
from impasto.producer.request import SubmissionRefused, check_heading, make_settings
from impasto.producer.sources import Candidate, Rejected, find_single
from impasto.producer.submit import inputs_were, refuse_if_empty
from impasto.shared.deployment import Deployment
from impasto.shared.errors import BadSettings, Permanent
from impasto.shared.jobs import Content, StyleRef
from impasto.shared.names import SlugSet
from impasto.shared.output_names import check_output_names, check_tells_apart, uses_path
from impasto.shared.printable import printable
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import open_input_reader

MAX_BATCHES: Final = 1000
"""How many settings the rows of one manifest may have: each is a batch that people see in lists."""

_PRESET: Final = "preset"
_TOLD: Final = 20
_QUESTIONS: Final = 16
_NAME: Final = 100  # characters of the manifest's own that name its batches

_Style = CheckedStyle | CheckedBlend


@dataclass(frozen=True)
class ManifestRequest:
    """What to submit; the fields are those of `Client.submit_manifest`."""

    manifest: Manifest
    preset: str | None = None
    settings: StyleSettings | Mapping[str, Any] | None = None
    name: str | None = None
    owner: str = ""
    priority: int = 5
    token: str | None = None
    strict: bool = False
    again: bool = False
    recheck: bool = False
    output_names: str | None = None

    def __post_init__(self) -> None:
        check_heading(self.name, self.token, self.priority)
        if self.output_names is not None:
            check_output_names(self.output_names)


@dataclass
class Group:
    """Rows of equal settings, by the places of their inputs in the lists of all; None where rejected."""

    settings: StyleSettings
    name: str = ""
    token: str = ""
    duplicates: int = 0
    places: list[tuple[int | Rejected, int | Rejected]] = field(default_factory=list)


@dataclass
class _Inputs:
    """Every input once, however many rows name it."""

    contents: list[Candidate] = field(default_factory=list)
    styles: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True)
class GroupLists:
    """A group's pairs. References are made as they are written: all at once they are most of the memory."""

    pairs: list[tuple[CheckedContent, _Style]]
    rejected: tuple[Rejected, ...]
    duplicates: int

    def contents(self) -> Iterator[Content]:
        slugs = SlugSet()
        return (content.ref(slugs) for content, _ in self.pairs)

    def styles(self) -> Iterator[StyleRef]:
        slugs = SlugSet()
        return (style.ref(slugs) for _, style in self.pairs)

    def matrix(self, settings: StyleSettings) -> Matrix:
        """The batch that it would be."""
        sizes_px = [content.size_px for content, _ in self.pairs]
        return Matrix(settings, [*self.contents()], sizes_px, [*self.styles()], zipped=True)


class Plan:
    """From rows to groups and single inputs, and from those to each batch's lists."""

    def __init__(self, request: ManifestRequest, deployment: Deployment, store: ObjectStore) -> None:
        self._request = request
        self._deployment = deployment
        self._store = store
        self._reader = open_input_reader(deployment, store)
        self._found: dict[str, Candidate | Rejected] = {}
        self._inputs = _Inputs()
        self._content_places: dict[tuple[str, str | None, str | None], int | Rejected] = {}
        self._style_places: dict[str, int | Rejected] = {}
        self.rejected: tuple[Rejected, ...] = ()
        self.tally = Tally()
        self.groups = self._group()

    def _group(self) -> list[Group]:
        """Every row's settings are checked before any input is looked at."""
        # What is wrong for all rows is told once.
        self._settings({})
        groups: dict[str, Group] = {}
        # Rows of equal settings share one object, so that settings are validated once each.
        of_settings: dict[int, Group] = {}
        problems: list[Rejected] = []
        for row in self._request.manifest.rows:
            if id(row.settings) not in of_settings:
                try:
                    settings = self._settings(row.settings)
                except BadSettings as error:
                    problems.append(self._senseless(row, error))
                    settings = StyleSettings()
                group = groups.setdefault(settings.digest(), Group(settings))
                of_settings[id(row.settings)] = group
        if problems:
            raise SubmissionRefused(
                f"{self._request.manifest.label}: {_rows(len(problems))} settings that make no sense; "
                "nothing was submitted",
                tuple(problems[:_TOLD]),
            )
        if len(groups) > MAX_BATCHES:
            raise BadSettings(
                f"{self._request.manifest.label} has {len(groups):,} different settings, each of which is a "
                f"batch: give at most {MAX_BATCHES:,}, and split the manifest"
            )
        for row in self._request.manifest.rows:
            of_settings[id(row.settings)].places.append((self._content(row), self._style(row)))
        for settings_again in self._request.manifest.repeated:
            of_settings[id(settings_again)].duplicates += 1
        self._name_groups(list(groups.values()))
        return list(groups.values())

    def _settings(self, fields: Mapping[str, Any]) -> StyleSettings:
        request = self._request
        own = dict(fields)
        preset = own.pop(_PRESET, None)
        if isinstance(request.settings, StyleSettings):
            if preset is not None or request.preset is not None:
                raise BadSettings("give a preset or whole settings, not both")
            return StyleSettings.parse({**request.settings.model_dump(), **own}) if own else request.settings
        return make_settings(
            self._deployment,
            {**(request.settings or {}), **own},
            request.preset if preset is None else str(preset),
        )

    def _senseless(self, row: Row, error: BadSettings) -> Rejected:
        signs = ("{}: ", "'{}'", "unknown {} ")
        named = [name for name in row.settings if any(sign.format(name) in str(error) for sign in signs)]
        column = f"settings.{named[0]}" if named else "settings"
        return Rejected(place(self._request.manifest.label, row.line, column), str(error))

    def _content(self, row: Row) -> int | Rejected:
        key = (row.content, row.mask, row.name)
        if key not in self._content_places:
            self._content_places[key] = self._new_content(row)
        return self._content_places[key]

    def _new_content(self, row: Row) -> int | Rejected:
        content = self._find(row.content, row)
        if isinstance(content, Rejected):
            return content
        mask = None if row.mask is None else self._find(row.mask, row)
        if isinstance(mask, Rejected):
            return mask
        # Its source is the manifest: what the row says before the name are the content's folders.
        folder = self._request.manifest.folder
        is_below = content.name.startswith(f"{folder}/") if folder else not os.path.isabs(content.name)  # noqa: PTH117
        if content.path is not None and is_below:
            content = replace(content, folder=folder)
        self._inputs.contents.append(replace(content, mask=mask, title=row.name))
        return len(self._inputs.contents) - 1

    def _style(self, row: Row) -> int | Rejected:
        if row.style not in self._style_places:
            style = self._find(row.style, row)
            if not isinstance(style, Rejected):
                self._inputs.styles.append(style)
            self._style_places[row.style] = (
                style if isinstance(style, Rejected) else len(self._inputs.styles) - 1
            )
        return self._style_places[row.style]

    def _find(self, source: str, row: Row) -> Candidate | Rejected:
        if source not in self._found:
            if source.startswith(("s3://", "store:")):
                # Not looked up one by one: a listing takes as long as reading it, which tells as well.
                self._found[source] = Candidate(source, 0, uri=source, folder=source.rpartition("/")[0])
            else:
                found = find_single(source, list_objects=self._reader.list)
                if isinstance(found, Rejected):
                    found = Rejected(found.input, f"{found.error} (line {row.line})")
                self._found[source] = found
        return self._found[source]

    def _name_groups(self, groups: list[Group]) -> None:
        label = self._request.manifest.label
        name = self._request.name or printable(os.path.splitext(os.path.basename(label))[0])[:_NAME]  # noqa: PTH119, PTH122
        token = self._request.token
        if token is None:
            token = f"again {uuid.uuid4().hex}" if self._request.again else self._own_token(groups)
        for number, group in enumerate(groups, start=1):
            one_of_many = len(groups) > 1
            group.name = f"{name}-{number}" if one_of_many else name
            group.token = f"{token}/{number}" if one_of_many else token
            check_heading(group.name, group.token, self._request.priority)

    def _own_token(self, groups: list[Group]) -> str:
        """The same for the same rows on the same files: what was mended since is a reason to try again."""
        digest = hashlib.sha256()

        def add(part: object) -> None:
            digest.update(json.dumps(part).encode() + b"\n")

        add([self._request.name, self._request.owner, [group.settings.digest() for group in groups]])
        if self._request.output_names is not None:
            add(self._request.output_names)
        for row in self._request.manifest.rows:
            add(row)
        objects = [found.uri for found in self._found.values() if isinstance(found, Candidate) and found.uri]
        stamps = dict(each(self._stamp_of, objects, threads=_QUESTIONS))
        for source, found in self._found.items():
            add([source, *_state_of(found, stamps)])
        return f"manifest {digest.hexdigest()}"

    def _stamp_of(self, uri: str) -> tuple[object, ...]:
        """Another for each put of other bytes. Raises the store's errors that may pass."""
        try:
            info = self._reader.head(uri)
        except Permanent:
            return ("gone",)
        return (info.size_bytes, info.stamp)

    def collect(
        self, on_progress: OnProgress | None, *, upload: bool, compare: bool = False
    ) -> list[GroupLists]:
        """Each group's lists, checked; those of a group of which nothing is left are empty."""
        request, inputs = self._request, self._inputs
        early = _distinct(
            side
            for group in self.groups
            for places in group.places
            for side in places
            if isinstance(side, Rejected)
        )
        refuse_if_empty("content", inputs.contents, early)
        refuse_if_empty("style", inputs.styles, early)
        collector = Collector(
            self._deployment,
            self._store,
            self._reader,
            upload=upload and not (request.strict and early),
            compare=compare,
            recheck=request.recheck,
            paths=uses_path(request.output_names),
        )
        if request.output_names is not None:
            for group in self.groups:
                check_tells_apart(request.output_names, len(group.places), len(group.places), zipped=True)
        styles: list[_Style | Rejected | None] = []
        for style in collector.checked_styles(inputs.styles, on_progress=on_progress):
            styles.append(style)
            if request.strict and isinstance(style, Rejected):
                collector.upload = False
        contents: list[CheckedContent | Rejected | None] = []
        for content in collector.checked_contents(inputs.contents, on_progress=on_progress):
            contents.append(content)
            if request.strict and isinstance(content, Rejected):
                collector.upload = False
        self.tally = collector.tally
        lists = [_lists(group, contents, styles) for group in self.groups]
        self.rejected = _distinct(rejected for one in lists for rejected in one.rejected)
        refuse_if_empty("pair", [one for one in lists if one.pairs], self.rejected)
        if request.strict and self.rejected:
            raise SubmissionRefused(
                f"{inputs_were(len(self.rejected))} rejected and strict allows none; nothing was submitted",
                self.rejected,
            )
        if request.output_names is not None:
            for one in lists:
                if one.pairs:
                    check_names(request.output_names, one.contents(), one.styles(), zipped=True)
        return lists


def _lists(
    group: Group,
    contents: list[CheckedContent | Rejected | None],
    styles: list[_Style | Rejected | None],
) -> GroupLists:
    pairs: list[tuple[CheckedContent, _Style]] = []
    rejected: list[Rejected] = []
    for content_place, style_place in group.places:
        content = content_place if isinstance(content_place, Rejected) else contents[content_place]
        style = style_place if isinstance(style_place, Rejected) else styles[style_place]
        rejected += [side for side in (content, style) if isinstance(side, Rejected)]
        if isinstance(content, CheckedContent) and isinstance(style, _Style):
            pairs.append((content, style))
    return GroupLists(pairs, _distinct(rejected), group.duplicates)


def _state_of(found: Candidate | Rejected, stamps: Mapping[str, tuple[object, ...]]) -> tuple[object, ...]:
    if isinstance(found, Rejected):
        return ("rejected",)
    if found.path is None:
        return stamps.get(found.uri or "", ())
    try:
        state = found.path.stat()
    except OSError:
        return ("gone",)
    # The second time also moves when the first is set back.
    return (state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _distinct(rejected: Iterable[Rejected]) -> tuple[Rejected, ...]:
    return tuple(dict.fromkeys(rejected))


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
