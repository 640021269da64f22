"""Kaiming normal: independent rows, and parameters that are checked."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmark
from benchmark.errors import UsageError


def test_rows_are_not_copies_of_each_other() -> None:
    model = nn.Linear(64, 64)
    benchmark.initialize(model, "kaiming_normal")
    correlations = torch.corrcoef(model.weight.detach())
    assert (correlations - torch.eye(64)).abs().max() < 0.7


def test_a_mode_that_is_no_fan_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="fan_in or fan_out or fan_avg, not 'fan_max'"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(mode=fan_max)")
    with pytest.raises(UsageError, match="greater than or equal to 0"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(gain=-1)")


def test_a_parameter_of_the_wrong_type_or_name_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a value like"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(gain=relu)")
    with pytest.raises(UsageError, match="did you mean 'gain'"):
        benchmark.initialize(nn.Linear(4, 4), "kaiming_normal(gian=1)")
