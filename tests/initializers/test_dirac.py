"""Dirac: torch's own on the layers it knows, and identity through every kind of layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmark
from tests.initializers.weights import filled


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv1d(4, 6, 3),
        lambda: nn.Conv2d(6, 4, 4),
        lambda: nn.Conv2d(8, 16, 3, groups=4),
        lambda: nn.Conv2d(8, 8, 7, groups=8),
        lambda: nn.Conv3d(2, 2, (1, 3, 5)),
    ],
    ids=["wider", "even kernel", "groups", "depthwise", "3d"],
)
def test_a_convolution_is_what_torch_makes_of_it(build) -> None:
    module = build()
    weight = filled(module, "dirac")
    nn.init.dirac_(module.weight, groups=module.groups)
    assert torch.equal(weight.float(), module.weight)


def test_a_linear_layer_and_each_block_of_a_packed_qkv_is_the_identity() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(6, 18)
            self.proj = nn.Linear(6, 6)

    model = Attention()
    benchmark.initialize(model, "dirac")
    assert torch.equal(model.qkv.weight, torch.eye(6).repeat(3, 1))
    assert torch.equal(model.proj.weight, torch.eye(6))


@pytest.mark.parametrize("groups", [1, 2])
def test_images_pass_a_padded_and_a_transposed_convolution_unchanged(groups: int) -> None:
    images = torch.randn(2, 4, 5, 5)
    for convolution in (nn.Conv2d, nn.ConvTranspose2d):
        module = convolution(4, 4, 3, padding=1, groups=groups, bias=False)
        benchmark.initialize(module, "dirac")
        assert torch.equal(module(images), images)


def test_outputs_beyond_the_inputs_are_zero_rows() -> None:
    weight = filled(nn.Conv2d(64, 128, 3), "dirac").flatten(1)
    assert (weight.norm(dim=1) == 0).nonzero().flatten().tolist() == list(range(64, 128))
    weight = filled(nn.Conv2d(64, 128, 3, groups=2), "dirac").flatten(1)
    dead = [*range(32, 64), *range(96, 128)]
    assert (weight.norm(dim=1) == 0).nonzero().flatten().tolist() == dead
