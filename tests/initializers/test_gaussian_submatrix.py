"""Gaussian submatrix: mirrored blocks of He's variance."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.initializers.weights import LAYERS, assert_gaussian, filled, inner_filled


@pytest.mark.parametrize(("name", "fan_in"), [("linear", 512), ("conv", 576), ("grouped", 144)])
def test_a_quarter_is_normal_at_hes_variance_and_the_rest_mirrors_it(
    name: str, fan_in: int
) -> None:
    module = LAYERS[name]()
    weight = inner_filled(module, "gaussian_submatrix")
    groups = getattr(module, "groups", 1)
    quarters = []
    for part in weight.chunk(groups):
        (rows, columns), half = part.shape[:2], len(part) // 2
        first = part[:half, : columns // 2]
        quarters.append(first)
        assert torch.equal(part[half:, : columns // 2], -first)
        assert torch.equal(part[:half, columns // 2 :], -first)
        assert torch.equal(part[half:, columns // 2 :], first)
        assert rows == 2 * half
    assert_gaussian(torch.cat([quarter.flatten() for quarter in quarters]), 2 / fan_in)


def test_a_stem_reads_its_input_whole_at_half_the_variance() -> None:
    weight = filled(nn.Conv2d(64, 128, 3), "gaussian_submatrix")
    assert torch.equal(weight[:64], -weight[64:])
    assert_gaussian(weight[:64], 1 / 576)
