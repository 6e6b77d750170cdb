"""`StyleSettings`: everything that changes the pixels of a result, frozen, with one digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from impasto.shared.errors import BadSettings
from impasto.shared.layers import describe_layers, layer_names

ENGINE_VERSION: Final = "3"
"""Raised whenever the same settings would give other pixels; part of every fingerprint."""

OutputFormat = Literal["png", "jpeg", "webp", "tiff", "avif"]
ExifChoice = Literal["safe", "all", "strip"]

_LATER_DEFAULTS: Final = (("exif", "safe"),)


class StyleSettings(BaseModel):
    """What the optimisation aims at and how, for every pair of a batch.

    Layers are named as the tutorial counts (`conv_4`, `relu_4`: the 4th convolution) or as the paper does
    (`conv2_2`, `relu4_2`). Weights multiply the losses as they are normalised, so their meaning depends on
    `content_loss` and `style_normalisation`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: Literal["vgg19", "vgg16"] = "vgg19"
    weights: str = Field("caffe", min_length=1, description="caffe, torchvision, or a state dict's path")
    pooling: Literal["max", "average"] = "max"

    content_layers: tuple[str, ...] = ("conv_4",)
    style_layers: tuple[str, ...] = ("conv_1", "conv_2", "conv_3", "conv_4", "conv_5")
    style_statistic: Literal["gram", "covariance", "wasserstein"] = Field(
        "gram",
        description="what is compared a style layer: Gram matrices; means and covariances; "
        "or the Gaussians of that mean and covariance, by their Wasserstein-2 distance",
    )
    style_layer_weights: tuple[float, ...] | None = Field(
        None, description="one factor a style layer; None: 1 each"
    )
    content_loss: Literal["mean", "half_sum", "relative"] = Field(
        "mean",
        description="mean squared difference; the paper's ½Σ (eq. 1); or mean ÷ the content's mean square",
    )
    style_normalisation: Literal["elements", "paper", "relative"] = Field(
        "elements",
        description="Gram ÷ (C·H·W) and mean squared difference; the paper's 1/(4N²M²) (eq. 4); "
        "or each layer's error ÷ the mean square of the style's own statistic, layers averaged",
    )
    style_scale: float = Field(
        1.0, gt=0, le=8, description="the style's longer side over the result's; larger: coarser strokes"
    )
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(1e6, ge=0)
    tv_weight: float = Field(0.0, ge=0)

    colours: Literal["style", "luminance", "match"] = Field(
        "style",
        description="style: the painting's; luminance: the content's, laid over the answer; "
        "match: the painting is brought to the content's colours first",
    )
    padding: Literal["zeros", "reflect"] = Field(
        "zeros",
        description="what the network sees past the borders: zeros, or a margin of the picture mirrored",
    )

    start: Literal["content", "noise"] = "content"
    seed: int = Field(0, ge=0, lt=2**63)

    size_px: int = Field(512, ge=16, le=32768, description="the longer side of the result")
    preview_px: int | None = Field(
        None,
        ge=16,
        le=32768,
        description="make a small picture, so large, that shows what size_px would give",
    )
    enlarge: bool = Field(False, description="whether a content smaller than size_px is enlarged to it")
    steps: int = Field(300, ge=1, le=100_000, description="evaluations of loss and gradient at full size")
    coarsest_px: int | None = Field(
        None,
        ge=16,
        description="coarse to fine: the longer side of the first scale; sizes double up to size_px",
    )
    coarse_steps: int = Field(0, ge=0, le=100_000, description="evaluations at each scale before the last")

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    history: int = Field(50, ge=1, le=1000, description="curvature pairs that L-BFGS keeps")
    learning_rate: float = Field(0.02, gt=0, le=10, description="Adam's")
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = Field(
        "auto",
        description="what convolutions compute in; auto: bfloat16 where the hardware has it, else float32; "
        "tf32: float32 rounded to TensorFloat-32 where a GPU multiplies",
    )

    format: OutputFormat = "png"
    quality: int = Field(95, ge=1, le=100, description="of JPEG, WebP and AVIF")
    exif: ExifChoice = Field(
        "safe",
        description="what the result keeps of the photograph's EXIF data: safe: time, credit, camera and "
        "exposure; all: also the place, serial numbers and maker notes; strip: nothing",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.content_layers and not self.style_layers:
            raise ValueError("content_layers and style_layers are both empty: there is nothing to aim at")
        if self.style_layer_weights is not None and len(self.style_layer_weights) != len(self.style_layers):
            raise ValueError(
                f"style_layer_weights has {len(self.style_layer_weights)} entries "
                f"for {len(self.style_layers)} style_layers"
            )
        for field in ("content_layers", "style_layers"):
            for layer in getattr(self, field):
                if layer not in layer_names(self.network):
                    raise ValueError(f"unknown layer {layer!r} in {field}: {describe_layers(self.network)}")
        if self.coarsest_px is not None and self.coarse_steps == 0:
            raise ValueError("coarsest_px needs coarse_steps of at least 1")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are told only where they say something: digests are what they were before
        there were any, so that what was made then is known, and an older worker reads what asks nothing new.
        """
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if (name, value) not in _LATER_DEFAULTS}

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """A named starting point with some fields replaced.

        Raises BadSettings for an unknown preset or field, or a value out of range, naming it.
        """
        if name not in PRESETS:
            raise BadSettings(f"unknown preset {name!r}: choose one of {', '.join(sorted(PRESETS))}")
        return cls.parse({**PRESETS[name], **overrides})

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """Validated settings. Raises BadSettings, one line that names each field that is wrong."""
        unknown = sorted(set(fields) - set(cls.model_fields))
        if unknown:
            raise BadSettings(
                f"unknown setting {', '.join(map(repr, unknown))}: "
                f"known are {', '.join(sorted(cls.model_fields))}"
            )
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise BadSettings("; ".join(map(_problem, error.errors()))) from error

    def canonical_json(self) -> str:
        """The same text for equal settings: sorted keys, no white space, ASCII."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """sha256 of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def _problem(error: ErrorDetails) -> str:
    """What is wrong with one field, or, where `loc` is empty, with the settings as a whole."""
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']} (got {str(error['input'])[:60]!r})"


_PAPER_STYLE_CONV = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")

PRESETS: Final[dict[str, dict[str, Any]]] = {
    # The PyTorch tutorial's program, as the seed text restates it; torch's L-BFGS keeps 100 pairs too.
    "tutorial": {"history": 100},
    # Gatys, Ecker and Bethge 2016: section 3 and the captions of figures 1 to 3, but for the style weight:
    # their 1 : 1000 belongs to their scaling of the network; with ours it leaves nearly all the photograph.
    # And total variation, which they have not: average pooling hides the noise's finest specks from losses.
    # At 1e5 orange specks and a bright frame stayed at 192 px; at 1e6 strokes are whole and nearly as crisp.
    "gatys": {
        "pooling": "average",
        "content_layers": ("conv4_2",),
        "style_layers": _PAPER_STYLE_CONV,
        "style_layer_weights": (0.2, 0.2, 0.2, 0.2, 0.2),
        "content_loss": "half_sum",
        "style_normalisation": "paper",
        "content_weight": 1.0,
        "style_weight": 1e6,
        "tv_weight": 1e6,
        "start": "noise",
        "steps": 500,
    },
    # What looks best: weights that mean the same for every style, size and release of the network.
    "gallery": {
        "pooling": "average",
        # relu4_2 alone forgets eyes and mouths that are a few of its positions wide.
        "content_layers": ("relu3_2", "relu4_2"),
        # Block 5 is left out: what it matches is as wide as a face at usual sizes, and faces drown in it.
        "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
        "content_loss": "relative",
        # Means and covariances: a Gram matrix is mostly its mean's, and palettes and forms come out half-way.
        "style_statistic": "covariance",
        "style_normalisation": "relative",
        "content_weight": 0.1,
        "style_weight": 1.0,
        "tv_weight": 0.4,
        "padding": "reflect",
        "coarsest_px": 128,
        "coarse_steps": 60,
        "steps": 40,
    },
}
