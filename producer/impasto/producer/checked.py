"""Candidates that were found good, and the references that a batch's lists have of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from impasto.shared.jobs import BlendRef, Content, InputRef, Painting, StyleRef
from impasto.shared.names import SlugSet, slugify

_Ref = TypeVar("_Ref", bound=StyleRef, covariant=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """A candidate that is a picture, where it lies in the end; `size_px` is (width, height), upright."""

    name: str
    uri: str
    sha256: str
    size_bytes: int
    size_px: tuple[int, int]

    def ref(self, slug: str | None = None) -> InputRef:
        """`slug` matters where the input names outputs."""
        return InputRef(
            uri=self.uri,
            name=self.name,
            slug=slug or slugify(self.name),
            sha256=self.sha256,
            size_bytes=self.size_bytes,
        )


class Checked(Protocol[_Ref]):
    """What a candidate has become. Of two with the same `identity` one would be made twice."""

    @property
    def identity(self) -> object: ...

    @property
    def size_px(self) -> tuple[int, int] | None:
        """(width, height) of what is one picture."""

    def ref(self, slugs: SlugSet) -> _Ref:
        """As a list of the batch has it, under a slug of its own."""


@dataclass(frozen=True, slots=True)
class CheckedContent:
    """A content, with its mask if it has one, and its folders where outputs are named by them."""

    picture: Kept
    mask: Kept | None
    path: str = ""

    @property
    def identity(self) -> object:
        return self.picture.sha256, None if self.mask is None else self.mask.sha256, self.path

    @property
    def size_px(self) -> tuple[int, int]:
        return self.picture.size_px

    def ref(self, slugs: SlugSet) -> Content:
        mask = None if self.mask is None else self.mask.ref()
        ref = self.picture.ref(slugs.give(self.picture.name))
        return Content(**dict(ref), mask=mask, path=self.path)


@dataclass(frozen=True, slots=True)
class CheckedStyle:
    """A style of a single picture."""

    picture: Kept

    @property
    def identity(self) -> object:
        return self.picture.sha256

    @property
    def size_px(self) -> tuple[int, int]:
        return self.picture.size_px

    def ref(self, slugs: SlugSet) -> InputRef:
        return self.picture.ref(slugs.give(self.picture.name))


@dataclass(frozen=True, slots=True)
class CheckedBlend:
    """A blend, all of whose paintings are pictures."""

    name: str
    paintings: tuple[tuple[Kept, float], ...]

    @property
    def identity(self) -> object:
        return tuple((painting.sha256, weight) for painting, weight in self.paintings)

    @property
    def size_px(self) -> None:
        return None

    def ref(self, slugs: SlugSet) -> BlendRef:
        paintings = (Painting(**dict(kept.ref()), weight=weight) for kept, weight in self.paintings)
        return BlendRef(name=self.name, slug=slugs.give(self.name), blend=tuple(paintings))
