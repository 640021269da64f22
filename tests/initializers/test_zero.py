"""ZerO: identities, Hadamard columns, zero at the end of a residual branch."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from benchmark.layers import describe
from benchmark.plugins import initializers
from tests.initializers.weights import assert_orthonormal, filled, repeated_rows


def test_a_layer_that_does_not_widen_is_a_partial_identity() -> None:
    assert torch.equal(filled(nn.Linear(6, 6), "zero"), torch.eye(6).double())
    assert torch.equal(filled(nn.Linear(6, 4), "zero"), torch.eye(4, 6).double())


def test_a_widening_layer_holds_the_first_columns_of_the_hadamard_matrix() -> None:
    """Entry (i, j) of Sylvester's matrix is -1 to the number of ones in i and j."""
    weight = filled(nn.Linear(3, 6), "zero")
    signs = [[(-1.0) ** (i & j).bit_count() for j in range(3)] for i in range(6)]
    assert torch.allclose(weight, torch.tensor(signs).double() / math.sqrt(8))


def test_columns_are_orthonormal_when_the_width_is_a_power_of_two() -> None:
    assert_orthonormal(filled(nn.Linear(24, 64), "zero"))
    scale = math.sqrt(2.0)
    assert_orthonormal(filled(nn.Linear(24, 64), f"zero(hadamard_gain={scale})"), scale=scale)


def test_a_tall_layer_repeats_its_rows() -> None:
    """Rows whose index differs in the high bits alone are equal: a weakness of the method."""
    assert repeated_rows(filled(nn.Linear(16, 64), "zero")) == 48


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_filled_at_the_centre_tap_of_each_group(groups: int) -> None:
    weight = filled(nn.Conv2d(4, 8, (3, 5), groups=groups), "zero")
    assert weight.abs().sum((0, 1)).nonzero().tolist() == [[1, 2]]
    for part in weight[:, :, 1, 2].chunk(groups):
        assert_orthonormal(part)


def test_the_layer_that_ends_a_residual_branch_is_zero_unless_told_otherwise() -> None:
    layer, weight = describe(nn.Linear(4, 4))[0]
    ending = dataclasses.replace(layer, role="residual_end")
    method = initializers.get("zero").function
    with torch.no_grad():
        method(weight, ending, torch.Generator())
        assert not weight.any()
        method(weight, ending, torch.Generator(), zero_residual=False)
        assert torch.equal(weight, torch.eye(4))
