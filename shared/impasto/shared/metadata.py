"""`OutputMetadata`: what lies beside every picture, versioned and stable."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from impasto.shared.settings import StyleSettings


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRecord(_Record):
    """An input as the worker found it; width and height in pixels, after EXIF orientation."""

    uri: str
    name: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int


class PaintingRecord(InputRecord):
    """One picture of a blend; only the weights' ratio counts."""

    weight: float


class BlendRecord(_Record):
    """The paintings that were one style together, under the blend's name."""

    name: str
    blend: tuple[PaintingRecord, ...]


def _kind_of_style(value: Any) -> str:
    is_blend = isinstance(value, BlendRecord) or (isinstance(value, dict) and "blend" in value)
    return "blend" if is_blend else "picture"


class LossRecord(_Record):
    """The weighted losses of one evaluation."""

    step: int
    scale_px: int
    content: float
    style: float
    tv: float
    total: float


class Losses(_Record):
    """First and last evaluation, and a curve of at most 100 points between them."""

    first: LossRecord
    last: LossRecord
    curve: tuple[LossRecord, ...]


class TimingsSeconds(_Record):
    """Where a pair's time went. `encode` is the picture's; the metadata can't time its own upload."""

    fetch: float = 0.0
    decode: float = 0.0
    targets: float = 0.0
    optimise: float = 0.0
    encode: float = 0.0
    upload: float = 0.0


class OutputMetadata(_Record):
    """All that is known of one result. Additions keep `version`; anything else raises it."""

    version: Literal[1] = 1
    batch: str
    pair: int
    content: InputRecord
    style: Annotated[
        Annotated[InputRecord, Tag("picture")] | Annotated[BlendRecord, Tag("blend")],
        Discriminator(_kind_of_style),
    ]
    mask: InputRecord | None = Field(None, description="white where the style applies; left out: everywhere")
    settings: StyleSettings
    settings_digest: str
    fingerprint: str
    picture_key: str
    picture_sha256: str
    picture_bytes: int
    width_px: int
    height_px: int
    network: str
    weights: str
    weights_digest: str
    engine_version: str
    seed: int
    steps: int
    recoveries: int = Field(0, description="divergences noticed and undone")
    losses: Losses
    timings_seconds: TimingsSeconds
    device: str
    precision: str
    peak_memory_bytes: int
    attempts: int
    worker: str
    software: dict[str, str]
    notes: tuple[str, ...] = Field(
        (), description="what a person should know, such as an enlargement not done"
    )
    reused_from: str | None = Field(
        None,
        description="key of the metadata of the same result, of which the picture is a copy; batch, pair, "
        "inputs, key and attempts are this pair's, and all else is of the picture's making",
    )
    started_at: datetime
    finished_at: datetime

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An older reader takes what says nothing that it does not know."""
        fields: dict[str, Any] = handler(self)
        return {k: v for k, v in fields.items() if v is not None or k not in ("mask", "reused_from")}


class ResultPointer(_Record):
    """Where the result of one fingerprint lies, so that a later batch need not make it again."""

    version: Literal[1] = 1
    picture_key: str
    metadata_key: str
