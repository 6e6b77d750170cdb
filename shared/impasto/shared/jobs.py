"""The message and the batch: `PairJob`, `BatchSpec` and the inputs that both refer to.

The wire form is JSON, versioned, and documented in docs/protocol.md for foreign producers.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from impasto.shared.errors import BadMessage, BadSettings
from impasto.shared.names import is_slug, slugify
from impasto.shared.settings import ENGINE_VERSION, StyleSettings

TASK_NAME: Final = "impasto.stylize_pair"
LINES_A_CHUNK: Final = 2000
"""How many inputs one object of a batch's contents or styles holds: any pair's inputs cost one small read."""

BATCH_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,79}$"


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


class InputRef(BaseModel):
    """One picture, where it lies and what people call it.

    `uri` is `store:<key>` (in the store, wherever that is), `s3://bucket/key` or `file:///path`. `slug` is
    the input's part of output names, unique within its batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str = Field(min_length=1, max_length=4096)
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
        if isinstance(value, dict) and "uri" in value:
            value = dict(value)
            value.setdefault("name", str(value["uri"]).rsplit("/", 1)[-1] or str(value["uri"]))
            value.setdefault("slug", slugify(str(value["name"])))
        return value


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
    style: InputRef
    settings: WireSettings = StyleSettings()
    id: str | None = Field(None, max_length=200)

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
        """The output's name within its batch, without an extension; never empty, never with a slash."""
        return f"{self.content.slug}__{self.style.slug}"


class BatchSpec(BaseModel):
    """A matrix of pairs under one set of settings: all of a batch but its two lists of inputs.

    `pairs` "product": pair i is (contents[i // styles], styles[i % styles]); "zip": content i with style i.
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


def fingerprint(content_sha256: str, style_sha256: str, settings: StyleSettings) -> str:
    """The identity of a result: same fingerprint, same picture. sha256, hexadecimal."""
    parts = (content_sha256, style_sha256, settings.digest(), ENGINE_VERSION)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
