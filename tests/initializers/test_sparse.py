"""Sparse: counts of zeros in every column, normal values elsewhere."""

from __future__ import annotations

import math

import pytest
from torch import nn

from tests.initializers.weights import LAYERS, assert_gaussian, filled


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("sparsity", [0.0, 0.33, 0.9, 1.0])
def test_every_input_loses_the_share_rounded_up(name: str, sparsity: float) -> None:
    weight = filled(LAYERS[name](), f"sparse(sparsity={sparsity}, std=0.1)").flatten(1)
    zeros = math.ceil(sparsity * len(weight))
    assert ((weight == 0).sum(0) == zeros).all()
    if sparsity < 1:
        assert_gaussian(weight[weight != 0], 0.01)


def test_columns_lose_different_rows() -> None:
    zeros = (filled(nn.Linear(200, 100), "sparse(sparsity=0.5)") == 0).double()
    share = zeros.mean(1)
    assert share.min() > 0.5 - 5 * 0.5 / math.sqrt(200)
    assert share.max() < 0.5 + 5 * 0.5 / math.sqrt(200)
