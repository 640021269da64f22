"""Planted faults are found and named; healthy networks have none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchmark import initialize
from benchmark.health import in_words
from benchmark.measures import DESCRIPTIONS, ModelMeasures, growth, measure

Fill = Callable[[torch.Tensor, int], None]


def deep_net(fill: Fill, depth: int = 12, width: int = 64) -> nn.Module:
    """Linear layers and ReLUs whose weights `fill` has written."""
    layers: list[nn.Module] = [nn.Flatten()]
    for at in range(depth):
        linear = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            fill(linear.weight, at)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def he(factor: float = 1.0) -> Fill:
    generator = torch.Generator().manual_seed(0)

    def fill(weight: torch.Tensor, at: int) -> None:
        weight.normal_(0.0, math.sqrt(2 * factor / weight.shape[1]), generator=generator)

    return fill


def measured(model: nn.Module) -> ModelMeasures:
    generator = torch.Generator().manual_seed(1)
    width = next(m.in_features for m in model.modules() if isinstance(m, nn.Linear))
    images = torch.randn(64, width, generator=generator)
    return measure(model, images, torch.randint(10, (64,), generator=generator))


def test_a_transposed_convolution_is_measured_by_its_own_neurons() -> None:
    """A zero output and a repeated one, of one group each, and the gain of fan_in."""
    module = nn.ConvTranspose2d(8, 12, 3, groups=4, padding=1)
    module.weight.detach()[2:4, 1] = 0.0
    module.weight.detach()[4:6, 2] = module.weight.detach()[4:6, 0]
    images = torch.randn(4, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(module, nn.Flatten(), nn.Linear(300, 3))
    found = measure(model, images, torch.tensor([0, 1, 2, 0])).layers[0].statistics
    assert (found.zero_rows, found.duplicate_rows) == pytest.approx((1 / 12, 1 / 12))
    root_mean_square = module.weight.detach().square().mean().sqrt().item()
    assert found.gain == pytest.approx(math.sqrt(2 * 9) * root_mean_square)


def test_a_net_of_he_weights_is_healthy() -> None:
    assert in_words(measured(deep_net(he()))) == "nothing unusual"


def test_a_variance_that_doubles_per_layer_is_found_in_both_directions() -> None:
    for factor, words in ((2.0, "activation variance grows"), (0.5, "activation variance shrinks")):
        found = measured(deep_net(he(factor), width=512))
        assert words in in_words(found)
        assert 10 ** found.summary()["activation_growth"] == pytest.approx(factor, rel=0.1)


def test_gradients_that_explode_are_found() -> None:
    """A scale between the layers leaves the weights alone and quadruples gradients."""

    class Scaled(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values.detach() + 2.0 * (values - values.detach())

    model = deep_net(he())
    for at in range(2, len(model), 2):
        model[at] = nn.Sequential(nn.ReLU(), Scaled())
    words = in_words(measured(model))
    assert "gradients explode, growing x" in words
    assert "activation" not in words


def test_the_growth_is_the_factor_per_layer() -> None:
    assert growth([1.0, 2.0, 4.0, 8.0]) == pytest.approx(math.log10(2))
    assert growth([1.0, 0.0, 4.0]) == pytest.approx(math.log10(2))
    assert math.isnan(growth([1.0, 0.0]))


def test_the_rank_deficiency_of_the_sinusoidal_formula_is_found() -> None:
    """512 rows a sin((i + 1) theta_j), the published formula: rank 255 (arXiv:2505.12909)."""

    def sinusoidal(weight: torch.Tensor, at: int) -> None:
        rows, columns = weight.shape
        angle = 2 * math.pi * np.arange(columns) / columns + 2 * math.pi / rows
        values = np.sin(np.outer(np.arange(1, rows + 1), angle))
        values *= math.sqrt(2 / columns) / values.std()
        weight.copy_(torch.from_numpy(values))

    found = measured(deep_net(sinusoidal, depth=2))
    assert round(64 * found.layers[0].statistics.rank_share) == 31
    assert "rank-deficient weights in 1, 3 (up to 52 %)" in in_words(found)
    assert "strength variance is x" in in_words(found)


def test_the_zero_rows_of_a_partial_identity_are_found() -> None:
    def half_identity(weight: torch.Tensor, at: int) -> None:
        weight.zero_()
        weight[:32, :32] = torch.eye(32)

    words = in_words(measured(deep_net(half_identity, depth=2)))
    assert "rows of zeros in 1, 3 (up to 50 %)" in words


def test_dead_layers_are_named_and_what_lies_behind_them() -> None:
    fill = he()

    def one_dead(weight: torch.Tensor, at: int) -> None:
        fill(weight, at)
        if at == 1:
            weight.zero_()

    words = in_words(measured(deep_net(one_dead, depth=4)))
    assert words.startswith("all weights are zero in 3; no signal arrives in 5, 7")
    assert "no gradient arrives in 1" in words


def test_balanced_strength_is_seen_and_repeated_rows_too() -> None:
    from benchmark import models

    model = models.build("plain_cnn", channels=1, classes=10, image_size=8, seed=0)
    initialize(model, "kaiming_normal+pa")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(32, 1, 8, 8, generator=generator)
    labels = torch.randint(10, (32,), generator=generator)
    assert "strength variance is x0." in in_words(measure(model, images, labels))

    def repeated(weight: torch.Tensor, at: int) -> None:
        weight.normal_(0.0, 0.1, generator=generator)
        weight[1] = weight[0]

    assert "duplicate rows in 1, 3 (up to 2 %)" in in_words(measured(deep_net(repeated, depth=2)))


def test_every_measure_has_a_description_and_is_finite() -> None:
    found = measured(deep_net(he())).summary()
    assert set(found) == set(DESCRIPTIONS)
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize("name", ["test_vit(depth=1, patch_size=4)", "plain_cnn"])
def test_the_summary_is_the_same_where_only_what_it_rests_on_is_computed(name: str) -> None:
    from benchmark import models

    model = models.build(name, channels=1, classes=10, image_size=16, seed=0)
    initialize(model, "orthogonal+pa")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, 16, 16, generator=generator)
    batch = images, torch.randint(10, (8,), generator=generator)
    whole, part = measure(model, *batch), measure(model, *batch, complete=False)
    assert part.summary() == whole.summary()
    ranks = [math.isfinite(layer.signal.effective_rank) for layer in part.layers if layer.signal]
    assert ranks.count(True) == 1
