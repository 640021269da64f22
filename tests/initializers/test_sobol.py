"""Sobol: quasi-random weights of the right distribution, in the published order or by neuron."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.stats import qmc
from torch import nn

from tests.initializers.weights import LAYERS, filled

FANS = {"linear": (512, 512), "conv": (576, 1152), "grouped": (144, 288)}


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("points", ["tensor", "neuron"])
@pytest.mark.parametrize("family", ["he", "glorot", "lecun"])
@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_moments_and_bounds_are_those_of_the_scheme(
    name: str, points: str, family: str, shape: str
) -> None:
    """Within the four standard errors of pseudo-random draws; the bounds exactly."""
    weight = filled(LAYERS[name](), f"sobol(scheme={family}_{shape}, points={points})")
    fan_in, fan_out = FANS[name]
    variance = {"he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out), "lecun": 1 / fan_in}[family]
    scaled = weight.flatten() / math.sqrt(variance)
    law = stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))
    if shape == "normal":
        law = stats.truncnorm(-2, 2, scale=1 / stats.truncnorm.std(-2, 2))
    count = scaled.numel()
    fourth = float(law.moment(4))
    assert abs(scaled.mean()) < 4 / math.sqrt(count)
    assert abs(scaled.square().mean() - 1) < 4 * math.sqrt((fourth - 1) / count)
    bound = law.support()[1]
    assert 0.98 * bound < scaled.abs().max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("points", ["tensor", "neuron"])
def test_numbers_are_more_even_than_random_ones(points: str) -> None:
    """Kolmogorov's distance of 262,144 weights: below 5e-4 once in ten million random draws."""
    weight = filled(nn.Linear(512, 512), f"sobol(points={points})").flatten()
    bound = math.sqrt(6 / 512)
    distance = stats.kstest(weight.numpy(), "uniform", args=(-bound, 2 * bound)).statistic
    assert distance < 5e-4


def test_published_order_is_one_coordinate_with_outputs_fastest() -> None:
    """Some coordinate and digital shift explain all weights of a small convolution."""
    weight = filled(nn.Conv2d(4, 8, 3), "sobol(scheme=lecun_uniform)")
    bound = math.sqrt(3 / 36)
    order = weight.permute(2, 3, 1, 0).flatten().numpy()
    digits = np.round((order / bound + 1) / 2 * 2**20).astype(np.int64)
    points = qmc.Sobol(64, scramble=False).random(512)[1 : 1 + order.size]
    expected = np.floor(points * 2**12).astype(np.int64)
    found = digits >> 8
    shifts = [np.unique(found ^ expected[:, column]) for column in range(64)]
    # The twelve leading digits of every weight differ from one coordinate's by one constant.
    assert min(len(values) for values in shifts[1:]) == 1


def test_published_order_nearly_repeats_rows_at_a_power_of_two() -> None:
    """Rows are digital shifts of each other, so that the sum of their bits spans them."""
    assert torch.linalg.matrix_rank(filled(nn.Linear(512, 512), "sobol"), rtol=1e-5) < 16
    by_neuron = filled(nn.Linear(512, 512), "sobol(points=neuron)")
    assert torch.linalg.matrix_rank(by_neuron, rtol=1e-5) == 512


def test_by_neuron_every_inputs_weights_are_spread_evenly() -> None:
    """Column sums of 512 stratified numbers against the sqrt(512) sd of independent ones."""
    weight = filled(nn.Linear(300, 512), "sobol(points=neuron)")
    assert weight.sum(0).abs().max() < 0.1 * math.sqrt(512) * weight.std()


def test_layers_of_more_inputs_than_sobol_has_dimensions_are_filled() -> None:
    weight = filled(nn.Linear(21203, 2), "sobol(points=neuron)")
    assert torch.isfinite(weight).all()
    assert weight.std(0)[:-2].mean() > 0


def test_tensors_of_one_shape_differ() -> None:
    one, other = (filled(nn.Linear(64, 64), "sobol", seed=seed) for seed in (0, 1))
    assert (one - other).abs().max() > 0.01
