"""The plain network: nothing corrects what an initializer makes of the signal."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from benchmark import models


def build(architecture: str = "plain_cnn", seed: int = 0) -> nn.Module:
    return models.build(architecture, channels=1, classes=10, image_size=32, seed=seed)


def test_it_has_no_norm_no_skip_and_no_standardised_weight() -> None:
    kinds = {type(module) for module in build().modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear}


def test_row_sums_of_its_weights_reach_the_output() -> None:
    """Adding a constant to the weights of a filter changes the logits, as no norm takes it out."""
    model = build().eval()
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(images)
        model.stages[1][1].weight.add_(0.05)
        assert (model(images) - before).abs().max() > 1e-3 * before.abs().max()


@pytest.mark.parametrize(("depth", "convolutions"), [(1, 3), (2, 6)])
def test_depth_counts_convolutions_of_a_stage(depth: int, convolutions: int) -> None:
    model = build(f"plain_cnn(depth={depth})")
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == convolutions


def test_it_is_filled_as_documented() -> None:
    """Kaiming normal by fan_out, head N(0, 0.01^2), biases zero; four standard errors."""
    model = build("plain_cnn(widths=[64, 64])", seed=1)
    convolution = model.stages[1][3].weight.detach()
    draws = convolution / math.sqrt(2 / (64 * 9))
    assert abs(float(draws.square().mean()) - 1) < 4 * math.sqrt(2 / draws.numel())
    head = model.head.weight.detach() / 0.01
    assert abs(float(head.square().mean()) - 1) < 4 * math.sqrt(2 / head.numel())
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    assert len(biases) == 5
    assert all((bias == 0).all() for bias in biases)
