"""Orthogonal: orthonormal to rounding, Haar-distributed, block by block."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import benchmark
from benchmark.layers import describe
from benchmark.plugins import initializers


def assert_orthonormal(matrix: torch.Tensor, scale: float = 1.0) -> None:
    """Assert orthonormal rows or, where there are more rows, columns; times `scale`."""
    wide = (matrix if len(matrix) <= matrix.shape[1] else matrix.T).detach().double() / scale
    error = (wide @ wide.T - torch.eye(len(wide), dtype=torch.float64)).abs().max()
    assert error < 1e-5, float(error)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Linear(512, 512),
        lambda: nn.Linear(64, 200),
        lambda: nn.Linear(200, 64),
        lambda: nn.Conv2d(16, 32, 3),
        lambda: nn.Conv2d(2, 64, 3),
        lambda: nn.Conv1d(8, 8, 5),
    ],
    ids=["square", "tall", "wide", "conv", "tall conv", "conv1d"],
)
def test_the_matrix_is_orthonormal_to_rounding(layer) -> None:
    model = layer()
    benchmark.initialize(model, "orthogonal", seed=0)
    assert_orthonormal(model.weight.flatten(1))


def test_the_gain_scales_the_matrix() -> None:
    model = nn.Linear(32, 32)
    benchmark.initialize(model, "orthogonal(gain=1.5)")
    assert_orthonormal(model.weight, scale=1.5)


def test_a_packed_qkv_is_three_independent_orthogonal_matrices() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(48, 144)
            self.proj = nn.Linear(48, 48)

    model = Attention()
    benchmark.initialize(model, "orthogonal")
    query, key, value = model.qkv.weight.detach().chunk(3)
    for block in (query, key, value):
        assert_orthonormal(block)
    for one, other in ((query, key), (key, value), (query, value)):
        assert (one - other).abs().max() > 0.1
        assert (one + other).abs().max() > 0.1


def test_the_distribution_is_haar() -> None:
    """In Haar-random O(3) every entry is uniform on [-1, 1] and half the determinants are -1.

    Kolmogorov-Smirnov with 400 draws, alpha = 0.001. Without the sign correction the first
    diagonal entries of LAPACK's Q are never positive (D = 0.5), which the test always sees.
    """
    layer, _ = describe(nn.Linear(3, 3))[0]
    method = initializers.get("orthogonal").function
    generator = torch.Generator().manual_seed(0)
    draws = np.empty((400, 3, 3))
    for draw in draws:
        weight = torch.empty(3, 3)
        method(weight, layer, generator)
        draw[...] = weight.numpy()
    for row in range(3):
        for column in range(3):
            entries = draws[:, row, column]
            assert stats.kstest(entries, "uniform", args=(-1, 2)).pvalue > 0.001, (row, column)
    negative = int((np.linalg.det(draws) < 0).sum())
    assert stats.binomtest(negative, 400).pvalue > 0.001
