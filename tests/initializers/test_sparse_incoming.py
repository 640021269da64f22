"""Martens' sparse initialisation: fifteen weights a neuron, whatever the width."""

from __future__ import annotations

import math

import pytest
from torch import nn

from tests.initializers.weights import LAYERS, assert_gaussian, filled


@pytest.mark.parametrize("name", list(LAYERS))
def test_every_neuron_has_fifteen_unit_normal_weights(name: str) -> None:
    weight = filled(LAYERS[name](), "sparse_incoming").flatten(1)
    assert ((weight != 0).sum(1) == 15).all()
    assert_gaussian(weight[weight != 0], 1.0)


def test_a_neuron_with_fewer_inputs_is_dense() -> None:
    weight = filled(nn.Conv2d(512, 512, 3, groups=512), "sparse_incoming(std=0.5)")
    assert (weight != 0).all()
    assert_gaussian(weight, 0.25)


def test_inputs_are_chosen_evenly() -> None:
    """Each of 50 inputs is heard by a binomial number of 2000 neurons, 0.3 of them."""
    heard = (filled(nn.Linear(50, 2000), "sparse_incoming") != 0).double().mean(0)
    assert (heard - 0.3).abs().max() < 4.5 * math.sqrt(0.3 * 0.7 / 2000)
