"""From a schedule's sources to its plan: what looks as it did is recalled, the rest is read and uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from impasto.producer.blends import StyleCandidate, find_styles
from impasto.producer.checked import CheckedBlend, CheckedContent, CheckedStyle, Kept
from impasto.producer.collect import Collector, OnProgress
from impasto.producer.masks import find_contents
from impasto.producer.nights.index import Files, Index, Known, Observed
from impasto.producer.nights.plan import Plan, Style, UnderWay, Wanted, identity, look_of
from impasto.producer.nights.units import (
    address,
    kept_of,
    parts_of,
    recalled_content,
    recalled_style,
    unit_from,
)
from impasto.producer.parallel import each
from impasto.producer.schedules.spec import ScheduleSpec
from impasto.producer.sources import Candidate, Rejected
from impasto.producer.submit import refuse_if_empty, refuse_unpaired
from impasto.shared.deployment import Deployment
from impasto.shared.output_names import uses_path
from impasto.shared.settings import StyleSettings
from impasto.shared.store import ObjectStore
from impasto.shared.store.inputs import open_input_reader

_HEADS: Final = 16
_IN_STORE: Final = "store:"

_Source = TypeVar("_Source", bound=StyleCandidate)
_Answer = TypeVar("_Answer", bound=CheckedContent | Style)


@dataclass
class _Tally:
    """Each content that is there, once, and what is wanted of it; a recalled one with its candidate."""

    index: Index
    under_way: UnderWay
    looks: Mapping[int, str]
    """By a style's place; of equal styles the first."""
    wanted: dict[bytes, tuple[CheckedContent, tuple[int, ...]]] = field(default_factory=dict)
    recalled: dict[bytes, Candidate] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    known: int = 0
    waited_for: int = 0
    _alike: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)

    def add(self, content: CheckedContent, candidate: Candidate | None, places: Sequence[int]) -> None:
        """These styles, and not yet asked for, are asked for of the content."""
        key = identity(content)
        self.seen.add(key)
        missing: list[int] = []
        done = self.index.has_result(key, (self.looks[place] for place in places))
        under_way = self.under_way.get(key, frozenset())
        for place, is_done in zip(places, done, strict=True):
            if is_done:
                self.known += 1
            elif self.looks[place] in under_way:
                self.waited_for += 1
            else:
                missing.append(place)
        if not missing:
            return
        wanted = tuple(missing)
        if key in self.wanted:
            wanted = (*self.wanted[key][1], *missing)
        # A hundred thousand contents mostly want the same.
        self.wanted[key] = content, self._alike.setdefault(wanted, wanted)
        if candidate is not None:
            self.recalled[key] = candidate


class Planner:
    """Looks at a schedule's sources. Uploads what is new, submits nothing."""

    def __init__(
        self,
        schedule: ScheduleSpec,
        settings: StyleSettings,
        *,
        deployment: Deployment,
        store: ObjectStore,
        index: Index,
        under_way: UnderWay,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._schedule = schedule
        self._settings = settings
        self._store = store
        self._index = index
        self._under_way = under_way
        self._on_progress = on_progress
        self._reader = open_input_reader(deployment, store)
        self._paths = uses_path(schedule.output_names)
        self._collector = Collector(deployment, store, self._reader, paths=self._paths)
        self._stamps: dict[str, str] = {}
        self._rejected: list[Rejected] = []
        self.observed = Observed()

    def plan(self) -> Plan:
        """Raises SubmissionRefused when no style is left, or when lists to be zipped don't fit each
        other; and the store's errors.
        """
        found = find_contents(self._schedule.contents, self._schedule.masks, list_objects=self._list)
        found_styles = find_styles(self._schedule.style_sources, list_objects=self._list)
        contents, candidates = found.candidates, found_styles.candidates
        self._rejected = [*found.rejected, *found_styles.rejected]
        zipped = self._schedule.pairs == "zip"
        if zipped:
            refuse_unpaired(found, found_styles, self._rejected)
        styles = {place: (style, recalled) for place, style, recalled in self._styles(candidates)}
        refuse_if_empty("style", styles, self._rejected)
        looks = {place: look_of(style, self._settings) for place, (style, _) in styles.items()}
        first = {look: place for place, look in reversed(looks.items())}
        tally = _Tally(self._index, self._under_way, looks)
        places = sorted(first.values())
        asked: set[tuple[bytes, int]] = set()
        for place, content, recalled in self._contents(contents):
            key = identity(content)
            if not zipped and key not in tally.seen:
                tally.add(content, recalled, places)
            elif zipped and place in looks and (key, first[looks[place]]) not in asked:
                asked.add((key, first[looks[place]]))
                tally.add(content, recalled, [first[looks[place]]])
        self._read_lost_contents(tally)
        self._read_lost_styles(tally, styles)
        return Plan(
            tuple(Wanted(content, wanted) for content, wanted in tally.wanted.values()),
            {place: style for place, (style, _) in styles.items()},
            len(tally.seen),
            len(first),
            tally.known,
            tally.waited_for,
            tuple(dict.fromkeys(self._rejected)),
        )

    def _list(self, url: str) -> Iterator[tuple[str, int]]:
        for info in self._reader.objects(url):
            self._stamps[info.key] = info.stamp
            yield info.key, info.size_bytes

    def _contents(
        self, candidates: Sequence[Candidate]
    ) -> Iterator[tuple[int, CheckedContent, Candidate | None]]:
        def recall(candidate: Candidate, known: Known) -> CheckedContent:
            return recalled_content(candidate, known, paths=self._paths)

        check = partial(self._collector.checked_contents, on_progress=self._on_progress)
        return self._each("content", candidates, check, recall)

    def _styles(
        self, candidates: Sequence[StyleCandidate]
    ) -> Iterator[tuple[int, Style, StyleCandidate | None]]:
        check = partial(self._collector.checked_styles, on_progress=self._on_progress)
        return self._each("style", candidates, check, recalled_style)

    def _each(
        self,
        kind: str,
        candidates: Sequence[_Source],
        check: Callable[[Sequence[_Source]], Iterator[_Answer | Rejected | None]],
        recall: Callable[[_Source, Known], _Answer],
    ) -> Iterator[tuple[int, _Answer, _Source | None]]:
        """Those that are pictures, with their places; a recalled one with its candidate."""
        new, fresh = self._new(kind, candidates)
        checked = check([candidate for candidate, _ in new])
        files = iter(new)
        for place, candidate in enumerate(candidates):
            if candidate.left_out:
                continue
            unit = unit_from(kind, candidate)
            self.observed.present.add(unit)
            answer: _Answer | Rejected | None
            if fresh[place]:
                answer = next(checked)
                self._remember(unit, next(files)[1], answer)
            else:
                known = self._index.recall(unit)
                answer = known.rejected or recall(candidate, known)
            if isinstance(answer, Rejected):
                self._rejected.append(answer)
            elif answer is not None:
                yield place, answer, None if fresh[place] else candidate

    def _new(
        self, kind: str, candidates: Sequence[_Source]
    ) -> tuple[list[tuple[_Source, Files | None]], bytearray]:
        """Those that look other than when they were read, with how they look; and which by place."""
        new: list[tuple[_Source, Files | None]] = []
        fresh = bytearray(len(candidates))
        for place, candidate in enumerate(candidates):
            if candidate.left_out:
                continue
            files = self._files_of(candidate)
            if files is None or not self._index.knows(unit_from(kind, candidate), files):
                fresh[place] = True
                new.append((candidate, files))
        return new, fresh

    def _files_of(self, candidate: StyleCandidate) -> Files | None:
        """How it looks now; None when that can't be told."""
        files: list[tuple[str, int, str]] = []
        for part in parts_of(candidate):
            stamp = "" if part.uri is None else self._stamps.get(part.uri, "")
            size_bytes = part.size_bytes
            if part.path is not None:
                try:
                    found = part.path.stat()
                except OSError:
                    return None
                # The second one also moves when rights are given, or when the first is set back.
                stamp = f"{found.st_mtime_ns}.{found.st_ctime_ns}"
                size_bytes = found.st_size
            if not stamp:
                return None
            files.append((address(part), size_bytes, stamp))
        return tuple(files)

    def _remember(
        self, unit: bytes, files: Files | None, answer: CheckedContent | Style | Rejected | None
    ) -> None:
        if files is None or answer is None:
            return
        if not isinstance(answer, Rejected):
            self.observed.add(unit, files, Known(kept_of(answer)))
        elif answer.lasts:
            self.observed.add(unit, files, Known((), answer))

    def _read_lost_contents(self, tally: _Tally) -> None:
        """A recalled input was uploaded by an earlier night; somebody may have removed it since."""
        lost: list[Candidate] = []
        keys: list[bytes] = []
        recalled = ((key, kept_of(tally.wanted[key][0])) for key in tally.recalled)
        for (key, _), is_there in each(lambda one: self._are_there(one[1]), recalled, threads=_HEADS):
            if not is_there:
                keys.append(key)
                lost.append(tally.recalled[key])
        if not lost:
            return
        # Before they are read: what changes meanwhile must look changed next time.
        files = [self._files_of(candidate) for candidate in lost]
        checked = self._collector.checked_contents(lost, on_progress=self._on_progress)
        for key, candidate, looked, answer in zip(keys, lost, files, checked, strict=True):
            self._remember(unit_from("content", candidate), looked, answer)
            _, wanted = tally.wanted.pop(key)
            if isinstance(answer, Rejected):
                self._rejected.append(answer)
            elif answer is not None and identity(answer) == key:
                tally.wanted[key] = answer, wanted

    def _read_lost_styles(
        self, tally: _Tally, styles: dict[int, tuple[Style, StyleCandidate | None]]
    ) -> None:
        wanted = sorted({place for _, places in tally.wanted.values() for place in places})
        recalled = ((place, styles[place]) for place in wanted if styles[place][1] is not None)
        for (place, (style, candidate)), is_there in each(
            lambda one: self._are_there(kept_of(one[1][0])), recalled, threads=_HEADS
        ):
            if is_there or candidate is None:
                continue
            files = self._files_of(candidate)
            (answer,) = self._collector.checked_styles([candidate])
            self._remember(unit_from("style", candidate), files, answer)
            if isinstance(answer, CheckedStyle | CheckedBlend) and answer.identity == style.identity:
                styles[place] = answer, None
            elif isinstance(answer, Rejected):
                self._rejected.append(answer)

    def _are_there(self, kept: Iterable[Kept]) -> bool:
        """Whether what was uploaded still lies in the store."""
        for one in kept:
            if one.uri.startswith(_IN_STORE):
                found = self._store.head(one.uri.removeprefix(_IN_STORE))
                if found is None or found.size_bytes != one.size_bytes:
                    return False
        return True
