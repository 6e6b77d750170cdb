from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impasto.worker.engine.winograd import TransformedKernel, convolve, gains


def layer(inputs: int, outputs: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(outputs, inputs, 3, 3, generator=generator) / (3 * inputs**0.5)
    return kernel, torch.randn(outputs, generator=generator)


def relative(found: Tensor, expected: Tensor) -> float:
    """Error over size; of a few numbers, whose sum may cancel, at least one."""
    return float((found - expected).detach().norm() / expected.detach().norm().clamp(min=1))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 2),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 23),
    st.integers(1, 23),
    st.integers(0, 99),
)
def test_it_is_the_direct_convolution_in_value_and_gradient_at_any_size(
    batch: int, inputs: int, outputs: int, height: int, width: int, seed: int
) -> None:
    kernel, bias = layer(inputs, outputs, seed)
    x = torch.randn(batch, inputs, height, width, generator=torch.Generator().manual_seed(seed + 1))
    transformed = TransformedKernel(kernel)
    leaf = x.clone().requires_grad_()
    found, expected = convolve(x, transformed.forward, bias), F.conv2d(leaf, kernel, bias, padding=1)
    assert found.shape == expected.shape
    assert relative(found, expected) < 1e-5
    weights = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, leaf, weights)
    assert relative(convolve(weights, transformed.backward, None), gradient) < 1e-5


@pytest.mark.parametrize("size", [(64, 128), (256, 256)])
def test_the_networks_own_sizes_lose_a_millionth_or_so(size: tuple[int, int]) -> None:
    kernel, bias = layer(*size, seed=3)
    x = torch.rand(1, size[0], 30, 45)
    assert (
        relative(convolve(x, TransformedKernel(kernel).forward, bias), F.conv2d(x, kernel, bias, padding=1))
        < 5e-6
    )


def test_a_large_picture_is_the_same_in_pieces_as_whole() -> None:
    kernel, bias = layer(64, 64, seed=5)
    x = torch.rand(1, 64, 96, 300)
    assert (
        relative(convolve(x, TransformedKernel(kernel).forward, bias), F.conv2d(x, kernel, bias, padding=1))
        < 5e-6
    )


def test_it_is_chosen_for_many_channels_in_float32_on_a_cpu_only() -> None:
    assert gains(torch.zeros(256, 128, 3, 3))
    assert not gains(torch.zeros(64, 3, 3, 3))
    assert not gains(torch.zeros(64, 64, 3, 3))
    assert not gains(torch.zeros(256, 128, 3, 3, dtype=torch.bfloat16))
    assert not gains(torch.zeros(256, 128, 3, 3, device="meta"))
