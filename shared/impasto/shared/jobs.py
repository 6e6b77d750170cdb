"""The message and the batch: `PairJob`, `BatchSpec` and the inputs that both refer to.

The wire form is JSON, versioned, and documented in docs/protocol.md for foreign producers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from impasto.shared.errors import BadMessage, BadSettings
from impasto.shared.names import is_slug, slugify
from impasto.shared.output_names import (
    DEFAULT_OUTPUT_NAMES,
    OutputNames,
    check_output_names,
    problem_of_output_name,
)
from impasto.shared.settings import ENGINE_VERSION, StyleSettings

TASK_NAME: Final = "impasto.stylize_pair"
LINES_A_CHUNK: Final = 2000
"""How many inputs one object of a batch's contents or styles holds: any pair's inputs cost one small read."""

LONGEST_ADDRESS: Final = 4096
"""Characters of an input's address."""

BATCH_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,79}$"

MAX_PAINTINGS: Final = 8
"""How many paintings one blend may have: a worker holds them all, decoded, at once."""
LEAST_WEIGHT: Final = 1e-6
LARGEST_WEIGHT: Final = 1e6
"""Between them no share of a blend is ever rounded to nothing."""


def _settings_from_wire(value: Any) -> Any:
    """A foreign producer may name a preset and what differs from it."""
    if isinstance(value, dict) and "preset" in value:
        fields = dict(value)
        return StyleSettings.preset(str(fields.pop("preset")), **fields)
    return value


WireSettings = Annotated[StyleSettings, BeforeValidator(_settings_from_wire)]


def _checked_slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError("must be letters, digits, dots, dashes and single underscores, as slugify gives")
    return value


def _checked_folders(value: str) -> str:
    if value and not all(map(is_slug, value.split("/"))):
        raise ValueError("must be folders, each as slugify gives them, with slashes between")
    return value


def _checked_output(value: str) -> str:
    problem = problem_of_output_name(value)
    if problem is not None:
        raise ValueError(f"can be no output's name: {problem}")
    return value


def _checked_template(value: str | None) -> str | None:
    if value is None or value == DEFAULT_OUTPUT_NAMES:
        return None
    try:
        return check_output_names(value)
    except BadSettings as error:
        raise ValueError(str(error)) from error


class InputRef(BaseModel):
    """One picture, where it lies and what people call it.

    `uri` is `store:<key>` (in the store, wherever that is), `s3://bucket/key` or `file:///path`. `slug` is
    the input's part of output names, unique within its batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str = Field(min_length=1, max_length=LONGEST_ADDRESS)
    name: str = Field(min_length=1, max_length=4096)
    slug: Annotated[str, AfterValidator(_checked_slug)]
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    size_bytes: int | None = Field(None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _name_from_uri(cls, value: Any) -> Any:
        """A foreign producer need not give more than the address."""
        if isinstance(value, str):
            value = {"uri": value}
        if isinstance(value, dict) and "uri" in value and not ("name" in value and "slug" in value):
            value = dict(value)
            value.setdefault("name", str(value["uri"]).rsplit("/", 1)[-1] or str(value["uri"]))
            if "slug" not in value:
                value["slug"] = slugify(str(value["name"]))
        return value


class Content(InputRef):
    """A content as a batch's list has it: with the mask that says where the style applies, if it has one.

    `path`: its folders below its source, where outputs are named by them, each a slug, as `a/b`.
    """

    mask: InputRef | None = None
    path: Annotated[str, AfterValidator(_checked_folders)] = ""

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An older reader takes the lines that say nothing that it does not know."""
        fields = _without_none(handler(self), "mask")
        return fields if self.path else {name: value for name, value in fields.items() if name != "path"}

    def picture(self) -> InputRef:
        """The content alone."""
        return InputRef(**{name: getattr(self, name) for name in InputRef.model_fields})


class Painting(InputRef):
    """One picture of a blend. Only the weights' ratio within the blend counts."""

    weight: float = Field(1.0, ge=LEAST_WEIGHT, le=LARGEST_WEIGHT, allow_inf_nan=False)


class BlendRef(BaseModel):
    """One style made of several paintings, in the place of a single one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=4096)
    slug: Annotated[str, AfterValidator(_checked_slug)]
    blend: tuple[Painting, ...] = Field(min_length=1, max_length=MAX_PAINTINGS)

    @model_validator(mode="wrap")
    @classmethod
    def _name_from_paintings(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """A foreign producer need not give more than the paintings."""
        if not isinstance(value, dict) or {"name", "slug"} <= value.keys():
            return handler(value)
        whole = handler({"name": "blend", "slug": "blend", **value})
        name = str(value.get("name") or " + ".join(painting.name for painting in whole.blend))
        slug = slugify(name) if "name" in value else slugify("_".join(p.slug for p in whole.blend))
        return handler({"name": name[:4096], "slug": slug, **value})


StyleRef = InputRef | BlendRef


def _kind_of_style(value: Any) -> str:
    is_blend = isinstance(value, BlendRef) or (isinstance(value, dict) and "blend" in value)
    return "blend" if is_blend else "picture"


WireStyle = Annotated[
    Annotated[InputRef, Tag("picture")] | Annotated[BlendRef, Tag("blend")], Discriminator(_kind_of_style)
]


def weighted(style: StyleRef) -> tuple[tuple[InputRef, float], ...]:
    """The style's pictures with their weights; a single picture has the weight 1."""
    if isinstance(style, BlendRef):
        return tuple((painting, painting.weight) for painting in style.blend)
    return ((style, 1.0),)


def _without_none(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names or value is not None}


def default_output_name(content_slug: str, style_slug: str) -> str:
    """What outputs are called when nobody said otherwise."""
    return f"{content_slug}__{style_slug}"


class PairJob(BaseModel):
    """One pair, self-contained: what a worker needs to make one picture. A hint; the ledger is the truth.

    `batch` None: a pair of its own, which becomes a batch of one named after the job's digest, so that the
    same message sent twice is one piece of work. `id` tells apart jobs that are otherwise equal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch: str | None = Field(None, pattern=BATCH_ID_PATTERN)
    pair: int = Field(0, ge=0)
    content: InputRef
    style: WireStyle
    mask: InputRef | None = Field(
        None, description="a picture of the content's size, white where the style applies"
    )
    settings: WireSettings = StyleSettings()
    output: Annotated[str, AfterValidator(_checked_output)] | None = Field(
        None,
        max_length=900,
        description="the output's name in its batch, without an extension; slashes make folders; left out: "
        "content__style",
    )
    id: str | None = Field(None, max_length=200)

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A job that has neither is, word for word and by its digest, what it was before there were any."""
        return _without_none(handler(self), "mask", "output")

    @classmethod
    def from_wire(cls, body: Any) -> Self:
        """Raises BadMessage, one line that says what is wrong with the message."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            problems = (
                f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors()[:5]
            )
            raise BadMessage(f"no pair job of version 1: {'; '.join(problems)}") from error
        except BadSettings as error:
            raise BadMessage(f"no pair job of version 1: settings: {error}") from error

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready fields; `from_wire` gives back an equal job."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """sha256 over the canonical JSON of the job, hexadecimal."""
        return hashlib.sha256(
            json.dumps(self.to_wire(), sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()

    @property
    def output_stem(self) -> str:
        """The output's name within its batch, without an extension; slashes are folders. Never empty."""
        return self.output or default_output_name(self.content.slug, self.style.slug)


class BatchSpec(BaseModel):
    """A matrix of pairs under one set of settings: all of a batch but its two lists of inputs.

    `pairs` "product": pair i is (contents[i // styles], styles[i % styles]); "zip": content i with style i.
    `output_names` is the template of output names; None for `{content}__{style}`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    batch: str = Field(pattern=BATCH_ID_PATTERN)
    name: str = Field(min_length=1, max_length=200)
    owner: str = ""
    created_at: datetime
    pairs: Literal["product", "zip"] = "product"
    contents: int = Field(ge=1)
    styles: int = Field(ge=1)
    settings: StyleSettings
    priority: int = Field(5, ge=0, le=9)
    token: str | None = None
    output_names: Annotated[str | None, AfterValidator(_checked_template)] = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An older worker reads the batch that says nothing that it does not know."""
        return _without_none(handler(self), "output_names")

    @model_validator(mode="after")
    def _zip_needs_equal_lists(self) -> Self:
        if self.pairs == "zip" and self.contents != self.styles:
            raise ValueError(
                f"zip pairs content i with style i, but there are {self.contents} contents "
                f"and {self.styles} styles"
            )
        return self

    @property
    def total(self) -> int:
        """How many pairs the batch has."""
        return self.contents if self.pairs == "zip" else self.contents * self.styles

    def indices(self, pair: int) -> tuple[int, int]:
        """The pair's content and style by their places in the two lists. Raises IndexError."""
        if not 0 <= pair < self.total:
            raise IndexError(f"batch {self.batch} has {self.total} pairs, asked for pair {pair}")
        return (pair, pair) if self.pairs == "zip" else divmod(pair, self.styles)

    def names(self) -> OutputNames | None:
        """How outputs are named; None by default."""
        if self.output_names is None:
            return None
        date = f"{self.created_at.astimezone(UTC):%Y-%m-%d}"
        return OutputNames(self.output_names, batch=self.batch, date=date)

    def output(self, content_slug: str, content_path: str, style_slug: str) -> str | None:
        """The output's name of the pair of these; None by default."""
        names = self.names()
        if names is None:
            return None
        return names.name(content=content_slug, style=style_slug, path=content_path)

    def output_stem(self, content_slug: str, content_path: str, style_slug: str) -> str:
        """The same, also by default."""
        named = self.output(content_slug, content_path, style_slug)
        return default_output_name(content_slug, style_slug) if named is None else named


def fingerprint(
    content_sha256: str,
    style_sha256: str | Sequence[tuple[str, float]],
    settings: StyleSettings,
    *,
    mask_sha256: str | None = None,
) -> str:
    """The identity of a result: same fingerprint, same picture. sha256, hexadecimal.

    A blend is given as its pictures' digests with their weights, in order; of one picture it is the picture.
    """
    parts = [content_sha256, _identity_of_style(style_sha256), settings.digest(), ENGINE_VERSION]
    if mask_sha256 is not None:
        parts.append(f"mask {mask_sha256}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _identity_of_style(style: str | Sequence[tuple[str, float]]) -> str:
    if isinstance(style, str):
        return style
    if len(style) == 1:
        return style[0][0]
    # Shares and not weights: 2 : 1 and 4 : 2 are one blend. `sum` rounds in one way or another by Python's
    # version, and a result made by a worker must be known to a producer.
    whole = math.fsum(weight for _, weight in style)
    return " ".join(f"{sha256}:{weight / whole!r}" for sha256, weight in style)
