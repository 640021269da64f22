"""Doubly centred: no strength left, the variance kept."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark.strength import strength_variance
from tests.initializers.weights import LAYERS, filled


@pytest.mark.parametrize("name", list(LAYERS))
def test_rows_and_columns_sum_to_zero_at_hes_variance(name: str) -> None:
    """The sum of squares is chi-square with (rows - 1)(columns - 1) degrees of freedom."""
    module = LAYERS[name]()
    weight = filled(module, "doubly_centred").flatten(1)
    rows, columns = weight.shape
    fan_in = {"linear": 512, "conv": 576, "grouped": 144}[name]
    assert weight.sum(0).abs().max() < 1e-4
    assert weight.sum(1).abs().max() < 1e-4
    assert strength_variance(weight.numpy()).score < 1e-9
    freedom = (rows - 1) * (columns - 1)
    assert abs(weight.square().mean() * fan_in / 2 - 1) < 4 * math.sqrt(2 / freedom)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4096), (4096, 1), (2, 2048)])
def test_short_axes_keep_the_variance_too(rows: int, columns: int) -> None:
    weight = filled(nn.Linear(columns, rows), "doubly_centred(gain=1)")
    assert abs(weight.square().mean() * columns - 1) < 4 * math.sqrt(2 / 2047)
    if columns > 1:
        assert weight.sum(1).abs().max() < 1e-4
    if rows > 1:
        assert weight.sum(0).abs().max() < 1e-4 * math.sqrt(rows)


def test_a_single_weight_is_not_centred_away() -> None:
    assert filled(nn.Linear(1, 1), "doubly_centred").abs() > 0
    assert torch.isfinite(filled(nn.Conv2d(1, 1, 1), "doubly_centred")).all()
