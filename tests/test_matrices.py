"""Kernels of every kind of layer, and the matrices that structured initializers share."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.layers import describe
from benchmark.matrices import (
    centre_tap,
    dct_matrix,
    fill_matrix,
    haar,
    hadamard_matrix,
    kernels,
    turned,
)
from tests.initializers.weights import assert_orthonormal, repeated_rows


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (nn.Linear(5, 7), [(7, 5)]),
        (nn.Conv2d(3, 8, (3, 5)), [(8, 3, 3, 5)]),
        (nn.Conv2d(8, 12, 3, groups=4), [(3, 2, 3, 3)] * 4),
        (nn.Conv1d(6, 6, 5, groups=6), [(1, 1, 5)] * 6),
        (nn.ConvTranspose2d(8, 12, 3), [(12, 8, 3, 3)]),
        (nn.ConvTranspose2d(8, 12, 3, groups=4), [(3, 2, 3, 3)] * 4),
    ],
    ids=["linear", "conv", "grouped", "depthwise", "transposed", "grouped transposed"],
)
def test_kernels_are_views_of_each_groups_map(module: nn.Module, shapes: list) -> None:
    ((layer, weight),) = describe(module)
    found = kernels(weight.detach(), layer)
    assert [tuple(kernel.shape) for kernel in found] == shapes
    for kernel in found:
        kernel.fill_(7.0)
    assert (weight == 7.0).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_a_kernels_first_axis_is_what_its_group_puts_out(transposed: bool) -> None:
    """Only output 1 of group 2, so channel 2 * 3 + 1, hears anything."""
    convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = convolution(8, 12, 3, groups=4, padding=1, bias=False)
    ((layer, weight),) = describe(module)
    weight.detach().zero_()
    kernels(weight.detach(), layer)[2][1].fill_(1.0)
    heard = module(torch.ones(1, 8, 5, 5)).abs().sum((0, 2, 3))
    assert heard.nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_turned_weight_has_the_outputs_in_front_and_turns_back(
    transposed: bool, groups: int
) -> None:
    """A row of it, summed, is what an inner pixel of that output hears of ones."""
    convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = convolution(8, 12, 3, groups=groups, padding=1, bias=False)
    ((layer, weight),) = describe(module)
    front = turned(weight.detach(), layer)
    assert front.shape == (12, 8 // groups, 3, 3)
    heard = module(torch.ones(1, 8, 5, 5))[0, :, 2, 2]
    torch.testing.assert_close(front.sum((1, 2, 3)), heard.detach())
    assert torch.equal(turned(front, layer), weight)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_row_of_the_filled_matrix_holds_the_weights_of_one_output(
    transposed: bool, groups: int
) -> None:
    convolution = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = convolution(8, 12, 3, groups=groups, padding=1, bias=False)
    ((layer, weight),) = describe(module)
    fans = []

    def scaled_ones(rows: int, columns: int) -> torch.Tensor:
        fans.append((rows, columns))
        return torch.arange(1.0, rows + 1)[:, None].expand(rows, columns)

    fill_matrix(weight.detach(), layer, scaled_ones)
    assert fans == [(12, 8 // groups * 9)]
    heard = module(torch.ones(1, 8, 5, 5))[0, :, 2, 2]
    assert torch.equal(heard, torch.arange(1.0, 13) * layer.fan_in)


def test_the_centre_tap_is_the_one_of_torchs_dirac() -> None:
    for size in ((3,), (4,), (3, 5), (4, 2), (3, 4, 5)):
        expected = torch.empty(2, 2, *size)
        nn.init.dirac_(expected)
        kernel = torch.zeros(2, 2, *size)
        centre_tap(kernel).fill_diagonal_(1.0)
        assert torch.equal(kernel, expected), size


def test_haar_batches_are_independent_and_orthonormal() -> None:
    generator = torch.Generator().manual_seed(0)
    found = haar(3, 5, generator, batch=(4, 2))
    assert found.shape == (4, 2, 3, 5)
    for matrix in found.reshape(8, 3, 5):
        assert_orthonormal(matrix)
    assert torch.cdist(found.reshape(8, 15), found.reshape(8, 15))[0, 1:].min() > 0.1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_dct_and_hadamard_matrices_are_orthonormal_at_every_size(rows: int, columns: int) -> None:
    for matrix in (dct_matrix(rows, columns), hadamard_matrix(rows, columns)):
        assert matrix.shape == (rows, columns)
        assert_orthonormal(matrix)


def test_a_square_dct_matrix_holds_the_cosines_in_order() -> None:
    order = 6
    expected = torch.tensor(
        [
            [math.cos(math.pi * (2 * j + 1) * k / (2 * order)) for j in range(order)]
            for k in range(order)
        ],
        dtype=torch.float64,
    )
    expected /= expected.norm(dim=1, keepdim=True)
    assert torch.allclose(dct_matrix(order, order), expected, atol=1e-12)


def test_hadamard_weights_of_a_power_of_two_have_one_magnitude() -> None:
    for rows, columns in ((64, 64), (64, 16), (16, 64)):
        assert torch.allclose(hadamard_matrix(rows, columns).abs(), torch.tensor(1 / 8).double())


@pytest.mark.parametrize("shape", [(512, 128), (768, 192), (256, 25), (48, 8)])
def test_tall_dct_and_hadamard_matrices_have_no_two_rows_alike(shape: tuple[int, int]) -> None:
    """The first 128 columns of the Hadamard matrix of order 512 repeat each row four times."""
    assert repeated_rows(dct_matrix(*shape)) == 0
    assert repeated_rows(hadamard_matrix(*shape)) == 0
