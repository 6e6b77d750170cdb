"""What a night must make, and how pairs are told apart: a content's identity, a style's look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from impasto.producer.checked import CheckedBlend, CheckedContent, CheckedStyle
from impasto.producer.nights.index import identity_of
from impasto.producer.sources import Rejected
from impasto.shared.jobs import Content, StyleRef, fingerprint, weighted
from impasto.shared.names import SlugSet
from impasto.shared.settings import StyleSettings

Style = CheckedStyle | CheckedBlend
UnderWay = Mapping[bytes, frozenset[str]]
"""From a content's identity to the looks that an earlier night is making of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A content with the places of the styles that are wanted of it."""

    content: CheckedContent
    styles: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What a night must make, and what it must not.

    `contents` and `styles_found` count what was found, equal ones once. `known` pairs have a result,
    `under_way` ones are in an earlier night's batch. `rejected` are all inputs that are none, those of
    earlier nights among them.
    """

    wanted: tuple[Wanted, ...]
    styles: Mapping[int, Style]
    contents: int
    styles_found: int
    known: int
    under_way: int
    rejected: tuple[Rejected, ...]

    @property
    def pairs(self) -> int:
        return sum(len(one.styles) for one in self.wanted)

    @property
    def is_product(self) -> bool:
        """Whether every wanted content wants the same styles."""
        return len({one.styles for one in self.wanted}) == 1

    def content_refs(self) -> Iterator[Content]:
        """The batch's contents; one that is there for several styles keeps its name, the pair has its own."""
        slugs = SlugSet()
        for one in self.wanted:
            ref = one.content.ref(slugs)
            for _ in range(1 if self.is_product else len(one.styles)):
                yield ref

    def style_refs(self) -> Iterator[StyleRef]:
        """The batch's styles: those of all contents, or zipped each content's."""
        slugs = SlugSet()
        refs: dict[int, StyleRef] = {}
        for one in self.wanted[: 1 if self.is_product else None]:
            for place in one.styles:
                if place not in refs:
                    refs[place] = self.styles[place].ref(slugs)
                yield refs[place]


def look_of(style: Style | StyleRef, settings: StyleSettings) -> str:
    """What a style under these settings makes of any content: a fingerprint without a content."""
    digests: list[tuple[str, float]]
    if isinstance(style, CheckedStyle):
        digests = [(style.picture.sha256, 1.0)]
    elif isinstance(style, CheckedBlend):
        digests = [(kept.sha256, weight) for kept, weight in style.paintings]
    else:
        digests = [(str(ref.sha256), weight) for ref, weight in weighted(style)]
    return fingerprint("", digests, settings)


def identity(content: CheckedContent | Content) -> bytes:
    """Of a content with its mask."""
    if isinstance(content, CheckedContent):
        return identity_of(content.picture.sha256, content.mask.sha256 if content.mask else None)
    return identity_of(str(content.sha256), str(content.mask.sha256) if content.mask else None)
