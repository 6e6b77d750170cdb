"""Two ways to keep the photograph's colours.

Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", arXiv 1611.07865, section 5.

`luminance`: the style is transferred between grey pictures and the content's colours are laid over the
answer.
`match`: the style's colours are brought to the content's mean and covariance first, then all goes as ever.
Pictures are RGB; arithmetic is on values in [0, 1] as they are stored, as in the paper.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto.worker.engine.images import resized

_Array = NDArray[np.float64]
_Levels = NDArray[np.uint8]

# Luma of ITU-R BT.601, the Y of the YIQ space that the paper's code uses.
_LUMA: Final = np.array([0.299, 0.587, 0.114])
# Keeps a picture of few colours (its covariance has no inverse) from stretching noise into a rainbow.
_SMALLEST_VARIANCE: Final = 1e-5
_BAND_ROWS: Final = 256


def scene_before_transfer(content: Image.Image, colours: str) -> Image.Image:
    """The content as the optimisation should see it under the setting `colours`."""
    return _grey(_luma(content)) if colours == "luminance" else content


def style_before_transfer(style: Image.Image, content: Image.Image, colours: str) -> Image.Image:
    """The style as the optimisation should see it under the setting `colours`."""
    if colours == "luminance":
        return _grey(_like(_luma(style), _luma(content)))
    return colours_matched(style, content) if colours == "match" else style


def after_transfer(result: Image.Image, content: Image.Image, colours: str) -> Image.Image:
    """The result as it should be seen under the setting `colours`, of the result's size."""
    return recoloured(result, content) if colours == "luminance" else result


def colours_matched(picture: Image.Image, model: Image.Image) -> Image.Image:
    """The picture with its colours' mean and covariance brought to the model's, cut to [0, 1].

    x ↦ Σ_m^½ Σ_p^−½ (x − μ_p) + μ_m, section 5.1, the square roots by eigenvalues.
    """
    points, aims = _values(picture).reshape(-1, 3), _values(model).reshape(-1, 3)
    transform = _power(_covariance(aims), 0.5) @ _power(_covariance(points), -0.5)
    moved = (points - points.mean(axis=0)) @ transform.T + aims.mean(axis=0)
    return _picture(moved.reshape(picture.height, picture.width, 3))


def recoloured(picture: Image.Image, model: Image.Image) -> Image.Image:
    """The picture's luma with the model's chroma (section 5.2).

    Where light or dark leaves no room for a colour, it is made paler: the luma is kept to a level.
    """
    light, colours = np.asarray(picture), np.asarray(resized(model, picture.size))
    answer = np.empty_like(light)
    # In bands of rows, as a large picture's numbers take many times its bytes.
    for top in range(0, picture.height, _BAND_ROWS):
        band = slice(top, top + _BAND_ROWS)
        answer[band] = _coloured(light[band] / 255, colours[band] / 255)
    return Image.fromarray(answer)


def _coloured(light: _Array, colours: _Array) -> _Levels:
    """The luma of one with the chroma of the other, both (H, W, 3)."""
    luma = (light @ _LUMA)[..., None]
    chroma = colours - (colours @ _LUMA)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(chroma > 0, (1 - luma) / chroma, np.where(chroma < 0, -luma / chroma, 1.0))
    share = np.clip(room.min(axis=2, keepdims=True), 0, 1)
    return _levels(luma + share * chroma)


def _values(picture: Image.Image) -> _Array:
    return np.asarray(picture, dtype=np.float64) / 255


def _picture(values: _Array) -> Image.Image:
    return Image.fromarray(_levels(values))


def _levels(values: _Array) -> _Levels:
    return np.asarray((values.clip(0, 1) * 255).round(), dtype=np.uint8)


def _luma(picture: Image.Image) -> _Array:
    return np.asarray(_values(picture) @ _LUMA)


def _grey(luma: _Array) -> Image.Image:
    return _picture(np.repeat(luma[..., None], 3, axis=2))


def _like(luma: _Array, model: _Array) -> _Array:
    """Shifted and stretched to the model's mean and deviation: a dark painting must not darken a bright
    scene.
    """
    deviation = max(float(luma.std()), _SMALLEST_VARIANCE**0.5)
    return np.asarray((luma - luma.mean()) * (model.std() / deviation) + model.mean())


def _covariance(points: _Array) -> _Array:
    return np.asarray(np.cov(points, rowvar=False, bias=True) + _SMALLEST_VARIANCE * np.eye(3))


def _power(matrix: _Array, exponent: float) -> _Array:
    """Of a symmetric, positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values.clip(_SMALLEST_VARIANCE) ** exponent) @ vectors.T)
