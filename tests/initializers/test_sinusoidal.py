"""Sinusoidal: the authors' formula, and the faults that come with it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import benchmark
from benchmark.strength import strength_variance
from tests.initializers.weights import LAYERS, filled, repeated_rows


def test_entries_are_those_of_the_formula() -> None:
    """A 3 x 5 matrix, term by term."""
    rows, columns = 3, 5
    weight = filled(nn.Linear(columns, rows), "sinusoidal")
    sines = torch.tensor(
        [
            [
                math.sin((i + 1) * (2 * math.pi * j / columns + 2 * math.pi / rows))
                for j in range(columns)
            ]
            for i in range(rows)
        ],
        dtype=torch.float64,
    )
    expected = sines * math.sqrt(2.0 / (float(sines.var()) * columns))
    assert torch.allclose(weight, expected, atol=1e-7)


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_the_variance_is_exactly_hes(name: str, mode: str) -> None:
    fans = {"linear": (512, 512), "conv": (576, 1152), "grouped": (144, 288)}[name]
    weight = filled(LAYERS[name](), f"sinusoidal(mode={mode})")
    assert weight.var() * fans[mode == "fan_out"] == pytest.approx(2.0, rel=1e-5)
    if name != "grouped":  # whose row 144 is constant
        assert abs(weight.mean()) < 1e-6 * weight.std()


def test_a_square_matrix_has_less_than_half_its_rank() -> None:
    """Row m - k is minus row k, and rows m / 2 and m are zero: rank 255 of 512."""
    weight = filled(nn.Linear(512, 512), "sinusoidal")
    assert torch.linalg.matrix_rank(weight, rtol=1e-5) == 255


def test_a_tall_matrix_repeats_rows() -> None:
    weight = filled(nn.Linear(512, 2048), "sinusoidal")
    assert repeated_rows(weight) == 1023


def test_rows_sum_to_zero_unless_their_frequency_is_a_multiple_of_the_width() -> None:
    assert filled(nn.Linear(64, 63), "sinusoidal").sum(1).abs().max() < 1e-5
    depthwise = filled(nn.Conv2d(256, 256, 5, groups=256), "sinusoidal").flatten(1)
    assert depthwise.sum(1).abs().max() == pytest.approx(9.8, abs=0.05)
    assert strength_variance(depthwise.numpy()).outputs == pytest.approx(2.0, abs=0.01)


def test_large_arguments_lose_no_digits() -> None:
    """A high frequency against exact integer arithmetic; float32 arguments miss by 1e-3."""
    rows, columns, row = 2000, 700, 1998
    weight = filled(nn.Linear(columns, rows), "sinusoidal")[row]
    full = rows * columns
    turns = [(row + 1) * (rows * j + columns) % full for j in range(columns)]
    exact = torch.tensor([math.sin(2 * math.pi * turn / full) for turn in turns]).double()
    assert torch.allclose(weight * exact.norm() / weight.norm(), exact, atol=1e-6)


def test_the_blocks_of_a_packed_qkv_are_three_separate_matrices() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(48, 144)
            self.proj = nn.Linear(48, 48)

    model = Attention()
    benchmark.initialize(model, "sinusoidal")
    query, key, value = model.qkv.weight.chunk(3)
    assert torch.equal(query, key)
    assert torch.equal(query, value)
    assert torch.equal(query, model.proj.weight)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_matrix_whose_sines_all_vanish_still_carries_a_signal(shape: tuple[int, int]) -> None:
    weight = filled(nn.Linear(shape[1], shape[0]), "sinusoidal")
    assert torch.allclose(weight, torch.tensor(math.sqrt(2 / shape[1])).double())
