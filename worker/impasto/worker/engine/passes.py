"""One run of a trunk over pictures, and the way back from its features to the pixels.

The way back is written out and not left to autograd, because three things are known here that autograd can't
know: kernels are frozen, so that convolutions need not be remembered; a layer's own loss may be added to
the gradient that arrives from deeper layers, in place; and the features are there already when a loss's
gradient is a product with them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.worker.engine.network import Trunk, window

Add = Callable[[str, Tensor], None]
"""Adds a loss's derivative with respect to the named layer's features to a tensor of their shape, in place;
the tensor is of the trunk's own dtype.
"""


class Pass:
    """Features of pictures (B, 3, H, W), as the trunk gives them when called, kept for one way back.

    Nothing here is differentiable by autograd.
    """

    @torch.no_grad()
    def __init__(self, trunk: Trunk, pictures: Tensor) -> None:
        self._trunk = trunk
        self._back: list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]] = []
        self.features: dict[str, Tensor] = {}
        x = trunk.normalised(pictures)
        back: Callable[[Tensor], Tensor]
        for position, layer in enumerate(trunk.layers):
            names = trunk.wanted.get(position, ())
            if layer.kind == "conv":
                convolution = trunk.convolutions[layer.convolution - 1]
                x, back = convolution(x), convolution.back
            elif layer.kind == "relu":
                # Where somebody looks at the convolution's own answer, its signs are as good.
                kept = position - 1 in trunk.wanted
                signs, x = (x, F.relu(x)) if kept else (F.relu_(x),) * 2
                back = _relu_back(signs)
            else:
                x, back = _pooled(x, average=trunk.average)
            self._back.append((names, back))
            for name in names:
                self.features[name] = trunk.told(x)
        self._last = x

    @torch.no_grad()
    def back(self, add: Add) -> Tensor:
        """The gradient with respect to the pictures, (B, 3, H, W), float32 or float64, of the losses that
        `add` knows. To be called once: what was kept for it is given up on the way.
        """
        gradient = torch.zeros_like(self._last)
        del self._last
        while self._back:
            names, step = self._back.pop()
            for name in names:
                add(name, gradient)
                del self.features[name]
            gradient = step(gradient)
        return self._trunk.told(gradient) / self._trunk.deviation


def _relu_back(signs: Tensor) -> Callable[[Tensor], Tensor]:
    def back(gradient: Tensor) -> Tensor:
        answer: Tensor = torch.ops.aten.threshold_backward.grad_input(gradient, signs, 0, grad_input=gradient)
        return answer

    return back


def _pooled(x: Tensor, *, average: bool) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """What `pool` gives, and its way back."""
    size = window(x)
    if average:

        def spread(gradient: Tensor) -> Tensor:
            answer: Tensor = torch.ops.aten.avg_pool2d_backward(
                gradient, x, size, size, [0, 0], False, True, None
            )
            return answer

        return F.avg_pool2d(x, size), spread
    pooled, places = F.max_pool2d_with_indices(x, size)

    def scatter(gradient: Tensor) -> Tensor:
        answer: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, x, size, size, [0, 0], [1, 1], False, places
        )
        return answer

    return pooled, scatter
