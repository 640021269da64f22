"""Structured sparse: hidden diagonal blocks, at He's variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.initializers.weights import LAYERS, assert_gaussian, filled


@pytest.mark.parametrize("name", list(LAYERS))
def test_mean_square_is_hes_over_all_weights(name: str) -> None:
    weight = filled(LAYERS[name](), "structured_sparse").flatten(1)
    fan_in = {"linear": 512, "conv": 576, "grouped": 144}[name]
    kept = weight[weight != 0]
    assert kept.numel() == weight.numel() / 4
    assert_gaussian(kept, 8 / fan_in)


@pytest.mark.parametrize(("rows", "columns", "parts"), [(12, 20, 4), (7, 5, 3), (3, 50, 8)])
def test_the_pattern_is_a_permuted_block_diagonal(rows: int, columns: int, parts: int) -> None:
    """Rows hear the same inputs or none in common, and every input is heard."""
    weight = filled(nn.Linear(columns, rows), f"structured_sparse(parts={parts})")
    pattern = (weight != 0).double()
    patterns = torch.unique(pattern, dim=0)
    assert len(patterns) == min(parts, rows, columns)
    assert torch.equal(patterns.sum(0), torch.ones(columns).double())
    sizes = pattern.sum(1)
    assert sizes.max() - sizes.min() <= math.ceil(columns / len(patterns)) - columns // len(
        patterns
    )


def test_rows_and_columns_are_permuted() -> None:
    pattern = filled(nn.Linear(40, 40), "structured_sparse(parts=2)") != 0
    assert 0 < pattern[:20, :20].sum() < 400
    assert 0 < pattern[0, :20].sum() < 20
