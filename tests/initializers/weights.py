"""Layers filled by an initializer, and what their weights' moments should be."""

from __future__ import annotations

import math

import torch
from torch import nn

import benchmark

LAYERS = {
    "linear": lambda: nn.Linear(512, 512),
    "conv": lambda: nn.Conv2d(64, 128, 3),
    "grouped": lambda: nn.Conv2d(128, 256, 3, groups=8),
}


def filled(module: nn.Module, treatment: str, seed: int = 0) -> torch.Tensor:
    """Return the weight of a layer, or of the last one of several, in float64."""
    benchmark.initialize(module, treatment, seed=seed)
    layers = [layer for layer in module.modules() if hasattr(layer, "weight")]
    return layers[-1].weight.detach().double()


def inner(module: nn.Module) -> nn.Module:
    """Return a model in which `module` is neither the first layer nor the head."""
    return nn.ModuleList([nn.Linear(1, 1), module, nn.Linear(1, 1)])


def inner_filled(module: nn.Module, treatment: str, seed: int = 0) -> torch.Tensor:
    """Return the weight of a layer that is neither the first nor the head, in float64."""
    benchmark.initialize(inner(module), treatment, seed=seed)
    return module.weight.detach().double()


def assert_gaussian(draws: torch.Tensor, variance: float) -> None:
    """Assert mean, variance and kurtosis of independent normal draws to four standard errors."""
    scaled = draws.flatten() / math.sqrt(variance)
    count = scaled.numel()
    assert abs(scaled.mean()) < 4 / math.sqrt(count)
    assert abs(scaled.square().mean() - 1) < 4 * math.sqrt(2 / count)
    assert abs(scaled.pow(4).mean() - 3) < 4 * math.sqrt(96 / count)
    assert scaled.abs().max() < 7


def assert_orthonormal(matrix: torch.Tensor, scale: float = 1.0) -> None:
    """Assert orthonormal rows or, where there are more rows, columns; times `scale`."""
    wide = (matrix if len(matrix) <= matrix.shape[1] else matrix.T).detach().double() / scale
    error = (wide @ wide.T - torch.eye(len(wide), dtype=torch.float64)).abs().max()
    assert error < 1e-5, float(error)


def repeated_rows(matrix: torch.Tensor) -> int:
    """Return how many rows are parallel to an earlier one, up to 1e-6 in the cosine."""
    unit = matrix / matrix.norm(dim=1, keepdim=True)
    cosines = torch.tril(unit @ unit.T, diagonal=-1)
    return int((cosines > 1 - 1e-6).any(1).sum())
