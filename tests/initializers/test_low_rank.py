"""Low rank: the rank asked for, at He's variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.initializers.weights import LAYERS, filled


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("ratio", [0.25, 1.0])
def test_rank_mean_and_variance(name: str, ratio: float) -> None:
    """C is orthonormal, so that the sum of squares is that of P: chi-square with r n degrees."""
    weight = filled(LAYERS[name](), f"low_rank(ratio={ratio})").flatten(1)
    fan_in = {"linear": 512, "conv": 576, "grouped": 144}[name]
    rank = math.ceil(ratio * min(weight.shape))
    assert torch.linalg.matrix_rank(weight, rtol=1e-5) == rank
    scaled = weight * math.sqrt(fan_in / 2)
    assert abs(scaled.square().mean() - 1) < 4 * math.sqrt(2 / (rank * weight.shape[1]))
    assert abs(scaled.mean()) < 4 / math.sqrt(weight.numel())


def test_the_rank_is_never_zero_nor_above_the_full() -> None:
    assert torch.linalg.matrix_rank(filled(nn.Linear(8, 8), "low_rank(ratio=0)"), rtol=1e-5) == 1
    assert torch.linalg.matrix_rank(filled(nn.Linear(8, 4), "low_rank(ratio=2)"), rtol=1e-5) == 4
