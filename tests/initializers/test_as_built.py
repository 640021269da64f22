"""The baseline: everything stays as the constructor made it."""

from __future__ import annotations

import pytest
import torch

import benchmark
from benchmark import models


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "plain_cnn"])
def test_timm_leaves_every_parameter_and_buffer_as_built(architecture: str) -> None:
    model = models.build(architecture, channels=3, classes=10, image_size=32, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    benchmark.initialize(model, "timm", seed=5)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
