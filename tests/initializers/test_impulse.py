"""Impulse: one tap in each depthwise filter, everywhere on the kernel."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

import benchmark
from benchmark import models
from benchmark.errors import UsageError
from tests.initializers.weights import filled


def test_each_filter_has_one_tap_and_taps_are_uniform_over_the_kernel() -> None:
    """Chi-square over the 25 positions of 2000 filters, alpha = 0.001."""
    weight = filled(nn.Conv2d(2000, 2000, 5, groups=2000), "impulse").flatten(1)
    assert ((weight != 0).sum(1) == 1).all()
    assert torch.allclose(weight.max(1).values, torch.tensor(5**-0.5).double())
    counts = (weight != 0).sum(0)
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


@pytest.mark.parametrize("convolution", [nn.Conv2d, nn.ConvTranspose2d])
def test_every_filter_of_an_input_with_several_has_a_tap_of_its_own(
    convolution: type[nn.Conv2d | nn.ConvTranspose2d],
) -> None:
    weight = filled(convolution(40, 120, 5, groups=40), "impulse").reshape(120, 25)
    assert ((weight != 0).sum(1) == 1).all()
    assert len(weight.argmax(1).unique()) > 20


def test_layers_draw_of_their_own_and_all_but_depthwise_filters_stay() -> None:
    model = models.build("test_convnext", channels=3, classes=10, image_size=32, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    benchmark.initialize(model, "impulse", seed=3)
    drawn = []
    for name, tensor in model.state_dict().items():
        if tensor.dim() == 4 and tensor.shape[1] == 1:
            assert ((tensor.flatten(1) != 0).sum(1) == 1).all()
            drawn.append(tensor)
        else:
            assert torch.equal(tensor, before[name]), name
    same_shape = [tensor for tensor in drawn if tensor.shape == drawn[-1].shape]
    assert len(same_shape) > 1
    assert not torch.equal(same_shape[0], same_shape[1])


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(4, 4),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 1, groups=4),
        nn.Conv2d(4, 4, 3, groups=2),
    ],
    ids=["linear", "dense", "pointwise", "grouped"],
)
def test_a_model_without_depthwise_filters_is_refused(model: nn.Module) -> None:
    with pytest.raises(UsageError, match="depthwise"):
        benchmark.initialize(model, "impulse")
