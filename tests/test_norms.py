"""What counts as a norm, and what stays where one was."""

from __future__ import annotations

import pytest
import torch
from timm.layers import BatchNormAct2d, EvoNorm2dS0, LayerNorm2d, RmsNorm
from torch import nn

from benchmark.errors import UsageError
from benchmark.norms import is_norm, remove_norms


@pytest.mark.parametrize(
    "norm",
    [
        *(nn.BatchNorm2d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)),
        *(nn.RMSNorm(4), BatchNormAct2d(4), LayerNorm2d(4), RmsNorm(4), EvoNorm2dS0(4)),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norms_of_torch_and_timm_are_norms(norm: nn.Module) -> None:
    assert is_norm(norm)


@pytest.mark.parametrize("module", [nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Dropout(), nn.Identity()])
def test_other_modules_are_none(module: nn.Module) -> None:
    assert not is_norm(module)


def test_a_removed_norm_leaves_its_input_and_its_activation() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Sequential(BatchNormAct2d(4)))
    remove_norms(model)
    values = torch.randn(2, 4, 3, 3)
    assert not any(is_norm(module) for module in model.modules())
    assert torch.equal(model[2](values), values.relu())
    assert torch.equal(model[1](values), values)


def test_a_norm_that_is_its_activation_stays_and_so_does_every_other() -> None:
    model = nn.Sequential(nn.BatchNorm2d(4), EvoNorm2dS0(4))
    with pytest.raises(UsageError, match="1 is a EvoNorm2dS0"):
        remove_norms(model)
    assert isinstance(model[0], nn.BatchNorm2d)
