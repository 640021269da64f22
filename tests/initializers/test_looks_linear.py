"""Looks-linear: ReLU networks that start as linear, norm-keeping maps."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import benchmark
from tests.initializers.weights import assert_orthonormal, inner_filled


def dense(depth: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    widths = [16] + [32] * depth
    hidden = [
        layer
        for inputs, outputs in itertools.pairwise(widths)
        for layer in (nn.Linear(inputs, outputs, bias=False), activation())
    ]
    return nn.Sequential(*hidden, nn.Linear(32, 16, bias=False)).double()


def convolutional(depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 25, 7, bias=False)).double()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.SiLU])
@pytest.mark.parametrize("treatment", ["looks_linear", "gaussian_submatrix"])
def test_a_dense_network_is_linear(treatment: str, activation: type[nn.Module]) -> None:
    model = dense(6, activation)
    benchmark.initialize(model, treatment)
    one, other = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        assert torch.allclose(model(one - 3 * other), model(one) - 3 * model(other), atol=1e-5)
    benchmark.initialize(model, "orthogonal")
    with torch.no_grad():
        deviation = model(one - 3 * other) - (model(one) - 3 * model(other))
    assert deviation.abs().max() > 0.01


@pytest.mark.parametrize("treatment", ["looks_linear", "gaussian_submatrix"])
def test_a_convolutional_network_of_relus_is_linear_up_to_its_head(treatment: str) -> None:
    """Flattened maps stand channel after channel: the head's two halves are the pairs."""
    model = convolutional(depth=3)
    benchmark.initialize(model, treatment)
    one, other = torch.randn(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        assert torch.allclose(model(one - 3 * other), model(one) - 3 * model(other), atol=1e-5)


def test_a_dense_network_keeps_norms_through_fifty_layers() -> None:
    model = dense(depth=50)
    benchmark.initialize(model, "looks_linear")
    signals = torch.randn(8, 16, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        ratio = model(signals).norm(dim=1) / signals.norm(dim=1)
    assert (ratio - 1).abs().max() < 1e-4


def test_inner_layers_are_mirrored_orthogonal_matrices() -> None:
    weight = inner_filled(nn.Linear(24, 24), "looks_linear")
    block = weight[:12, :12]
    assert_orthonormal(block)
    assert torch.equal(
        weight, torch.cat([torch.cat([block, -block], 1), torch.cat([-block, block], 1)])
    )


def test_an_odd_axis_is_left_whole() -> None:
    weight = inner_filled(nn.Linear(24, 7), "looks_linear")
    assert torch.equal(weight[:, :12], -weight[:, 12:])
    assert_orthonormal(weight[:, :12])
    depthwise = inner_filled(nn.Conv2d(64, 64, 3, groups=64), "looks_linear")
    assert torch.allclose(depthwise.flatten(1).norm(dim=1), torch.ones(64).double())
