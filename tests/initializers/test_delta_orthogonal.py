"""Delta-orthogonal: the convolution itself keeps norms, which a flattened kernel does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmark
from tests.initializers.weights import assert_orthonormal, filled


def norms(module: nn.Module, channels: int) -> torch.Tensor:
    """Return the ratio of output to input norm of eight random images."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8, channels, 6, 6, generator=generator)
    with torch.no_grad():
        return module(images).flatten(1).norm(dim=1) / images.flatten(1).norm(dim=1)


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize(("size", "padding"), [(3, 1), (5, 2), (1, 0)])
def test_the_convolution_is_an_isometry(size: int, padding: int, groups: int) -> None:
    module = nn.Conv2d(
        16, 32, size, padding=padding, padding_mode="circular", groups=groups, bias=False
    )
    benchmark.initialize(module, "delta_orthogonal")
    assert (norms(module, 16) - 1).abs().max() < 1e-5
    benchmark.initialize(module, "orthogonal")
    if size > 1:
        assert (norms(module, 16) - 1).abs().max() > 0.01


def test_a_narrowing_convolution_never_expands() -> None:
    module = nn.Conv2d(32, 16, 3, padding=1, padding_mode="circular", bias=False)
    weight = filled(module, "delta_orthogonal")
    assert_orthonormal(weight[:, :, 1, 1])
    assert norms(module, 32).max() < 1


def test_only_the_centre_tap_is_filled_even_in_an_even_kernel() -> None:
    weight = filled(nn.Conv2d(4, 4, 4), "delta_orthogonal(gain=2)")
    taps = weight.abs().sum((0, 1)).nonzero().tolist()
    assert taps == [[2, 2]]
    assert_orthonormal(weight[:, :, 2, 2], scale=2.0)


def test_a_linear_layer_is_orthogonal() -> None:
    assert_orthonormal(filled(nn.Linear(40, 24), "delta_orthogonal"))
