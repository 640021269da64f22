"""Hadamard in every layer: orthonormal, one magnitude, no neuron twice."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.initializers.weights import assert_orthonormal, filled, repeated_rows


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(96, 96),
        lambda: nn.Linear(64, 256),
        lambda: nn.Linear(100, 10),
        lambda: nn.Conv2d(16, 32, 3),
        lambda: nn.Conv2d(128, 128, 3, groups=128),
    ],
    ids=["square", "tall", "wide", "conv", "depthwise"],
)
def test_the_matrix_is_orthonormal_and_no_neuron_comes_twice(build) -> None:
    weight = filled(build(), "hadamard(gain=0.5)").flatten(1)
    assert_orthonormal(weight, scale=0.5)
    assert repeated_rows(weight) == 0


def test_at_a_power_of_two_all_weights_have_one_magnitude() -> None:
    assert torch.equal(filled(nn.Linear(64, 16), "hadamard").abs().unique(), torch.tensor([0.125]))
