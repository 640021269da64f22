"""Kaiming normal: the moments of its draws, with the right fans of every kind of layer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import benchmark
from benchmark.errors import UsageError


@pytest.mark.parametrize(
    ("layer", "treatment", "variance"),
    [
        (lambda: nn.Linear(512, 512), "kaiming_normal", 2 / 512),
        (lambda: nn.Linear(512, 256), "kaiming_normal(mode=fan_out)", 2 / 256),
        (lambda: nn.Linear(512, 512), "kaiming_normal(gain=1)", 1 / 512),
        (lambda: nn.Conv2d(64, 128, 3), "kaiming_normal", 2 / (64 * 9)),
        (lambda: nn.Conv2d(64, 128, 3), "kaiming_normal(mode=fan_out)", 2 / (128 * 9)),
        (lambda: nn.Conv2d(128, 256, 3, groups=8), "kaiming_normal", 2 / (16 * 9)),
        (
            lambda: nn.Conv2d(128, 256, 3, groups=8),
            "kaiming_normal(mode=fan_out)",
            2 / (32 * 9),
        ),
        (lambda: nn.Conv2d(1024, 1024, 5, groups=1024), "kaiming_normal", 2 / 25),
        (lambda: nn.Conv2d(1024, 1024, 5, groups=1024), "kaiming_normal(mode=fan_out)", 2 / 25),
        (lambda: nn.ConvTranspose2d(32, 64, 3), "kaiming_normal", 2 / (32 * 9)),
        (lambda: nn.ConvTranspose2d(32, 64, 3), "kaiming_normal(mode=fan_out)", 2 / (64 * 9)),
    ],
    ids=[
        *("linear", "linear fan_out", "linear gain", "conv", "conv fan_out", "grouped"),
        *("grouped fan_out", "depthwise", "depthwise fan_out", "transposed", "transposed fan_out"),
    ],
)
def test_weights_are_normal_with_the_variance_of_the_formula(
    layer, treatment: str, variance: float
) -> None:
    """Mean, variance and kurtosis within four standard errors, and nothing beyond seven sigma.

    The variance of 18,000 normal draws is known to 4.2 % at four standard errors: a factor of two,
    or a fan of the wrong side or group, shows.
    """
    model = layer()
    benchmark.initialize(model, treatment, seed=0)
    draws = model.weight.detach().double().flatten() / math.sqrt(variance)
    count = draws.numel()
    assert abs(draws.mean()) < 4 / math.sqrt(count)
    assert abs(draws.square().mean() - 1) < 4 * math.sqrt(2 / count)
    assert abs(draws.pow(4).mean() - 3) < 4 * math.sqrt(96 / count)
    assert draws.abs().max() < 7


def test_rows_are_not_copies_of_each_other() -> None:
    model = nn.Linear(64, 64)
    benchmark.initialize(model, "kaiming_normal")
    correlations = torch.corrcoef(model.weight.detach())
    assert (correlations - torch.eye(64)).abs().max() < 0.7


def test_a_mode_that_is_no_fan_is_refused_with_the_two_that_are() -> None:
    with pytest.raises(UsageError, match=r"mode=fan_avg.*mode=fan_in or mode=fan_out"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(mode=fan_avg)")


def test_a_parameter_of_the_wrong_type_or_name_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a value like"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(gain=relu)")
    with pytest.raises(UsageError, match="did you mean 'gain'"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(gian=1)")
