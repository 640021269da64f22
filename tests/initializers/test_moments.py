"""Random initializers: analytic mean, variance, kurtosis and bounds on every kind of layer.

A method enters the table with its variance as a function of the layer, the fourth moment of its
standardised distribution and, where it is bounded, the largest absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from torch import nn

import benchmark
from benchmark.layers import Layer, describe

NORMAL, UNIFORM = 3.0, 1.8
STD_AT_2 = 0.8796256610342398
KURTOSIS_AT_2 = 2.3655367171296495
"""Standard deviation and kurtosis of a standard normal cut at two sigma."""


@dataclass(frozen=True)
class Case:
    """What a treatment draws from."""

    treatment: str
    variance: Callable[[Layer], float]
    kurtosis: float = NORMAL
    largest: Callable[[Layer], float] | None = None


def fan_avg(layer: Layer) -> float:
    return (layer.fan_in + layer.fan_out) / 2


CASES = [
    Case("kaiming_normal", lambda x: 2 / x.fan_in),
    Case("kaiming_normal(mode=fan_out)", lambda x: 2 / x.fan_out),
    Case("kaiming_normal(mode=fan_avg)", lambda x: 2 / fan_avg(x)),
    Case("kaiming_normal(gain=1)", lambda x: 1 / x.fan_in),
    Case("kaiming_uniform", lambda x: 2 / x.fan_in, UNIFORM, lambda x: math.sqrt(6 / x.fan_in)),
    Case(
        "kaiming_uniform(mode=fan_out, gain=1)",
        lambda x: 1 / x.fan_out,
        UNIFORM,
        lambda x: math.sqrt(3 / x.fan_out),
    ),
    Case("xavier_normal", lambda x: 1 / fan_avg(x)),
    Case("xavier_normal(gain=2)", lambda x: 4 / fan_avg(x)),
    Case("xavier_uniform", lambda x: 1 / fan_avg(x), UNIFORM, lambda x: math.sqrt(3 / fan_avg(x))),
    Case("lecun_normal", lambda x: 1 / x.fan_in),
    Case(
        "lecun_truncated_normal",
        lambda x: 1 / x.fan_in,
        KURTOSIS_AT_2,
        lambda x: 2 / STD_AT_2 / math.sqrt(x.fan_in),
    ),
    Case("truncated_normal", lambda x: 0.02**2),
    Case(
        "truncated_normal(std=0.5, bound=1)",
        lambda x: (0.5 * STD_AT_2) ** 2,
        KURTOSIS_AT_2,
        lambda x: 1.0,
    ),
    Case(
        "truncated_normal_sigma",
        lambda x: (0.02 * STD_AT_2) ** 2,
        KURTOSIS_AT_2,
        lambda x: 0.04,
    ),
    Case(
        "torch",
        lambda x: 1 / (3 * math.prod(x.shape[1:])),
        UNIFORM,
        lambda x: 1 / math.sqrt(math.prod(x.shape[1:])),
    ),
    # Entries of a Haar matrix of n columns have variance 1 / n and are near normal for large n.
    Case("orthogonal", lambda x: 1 / max(math.prod(x.shape) // x.fan_in, x.fan_in)),
]

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(512, 512),
    "wide": lambda: nn.Linear(512, 256),
    "conv": lambda: nn.Conv2d(64, 128, 3),
    "grouped": lambda: nn.Conv2d(128, 256, 3, groups=8),
    "depthwise": lambda: nn.Conv2d(1024, 1024, 5, groups=1024),
    "transposed": lambda: nn.ConvTranspose2d(32, 64, 3),
}


@pytest.mark.parametrize("layer_name", LAYERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.treatment)
def test_draws_have_the_moments_of_the_formula(case: Case, layer_name: str) -> None:
    """Mean, variance and fourth moment within four standard errors, no value out of bounds.

    The variance of 18,000 normal draws is known to 4.2 % at four standard errors: a factor of two,
    or a fan of the wrong side or group, shows.
    """
    model = nn.Sequential(LAYERS[layer_name](), nn.ReLU(), nn.Linear(1, 1))
    benchmark.initialize(model, case.treatment, seed=0)
    layer, weight = describe(model)[0]
    draws = weight.detach().double().flatten()
    standard = draws / math.sqrt(case.variance(layer))
    count = standard.numel()
    assert abs(standard.mean()) < 4 / math.sqrt(count)
    assert abs(standard.square().mean() - 1) < 4 * math.sqrt((case.kurtosis - 1) / count)
    fourth = standard.pow(4)
    assert abs(fourth.mean() - case.kurtosis) < 4 * float(fourth.std()) / math.sqrt(count)
    assert standard.abs().max() < 7
    if case.largest is not None:
        assert 0.98 * case.largest(layer) < draws.abs().max() <= case.largest(layer) * (1 + 1e-6)


def test_the_moments_of_the_cut_normal_are_those_of_its_density() -> None:
    from scipy import stats

    cut = stats.truncnorm(-2, 2)
    assert cut.std() == pytest.approx(STD_AT_2, abs=1e-9)
    assert float(cut.stats("k")) + 3 == pytest.approx(KURTOSIS_AT_2, abs=1e-4)


def test_a_packed_qkv_is_drawn_with_the_fans_of_one_of_its_matrices() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(256, 768)
            self.proj = nn.Linear(256, 256)

    for model, weight in [
        (packed := Attention(), packed.qkv.weight),
        (own := nn.MultiheadAttention(256, 4), own.in_proj_weight),
    ]:
        benchmark.initialize(model, "xavier_normal")
        for part in weight.detach().chunk(3):
            assert abs(part.var() * 256 - 1) < 4 * math.sqrt(2 / part.numel())


def test_a_cut_far_in_the_tails_leaves_no_outlier() -> None:
    """Torch's own function once put values at the bounds, 2000 sigma away (pytorch#155588)."""
    model = nn.Linear(1000, 1000)
    benchmark.initialize(model, "truncated_normal(std=0.001)")
    assert model.weight.abs().max() < 0.001 * 7
