"""Draws that torch has no safe function for."""

from __future__ import annotations

import torch

TRUNCATED_STD = 0.8796256610342398
"""The standard deviation of a standard normal cut at +-2."""


def truncated_normal_(
    tensor: torch.Tensor, std: float, bound: float, generator: torch.Generator
) -> None:
    """Fill a tensor in place from N(0, std^2) cut at +-`bound` standard deviations.

    By the inverse of the distribution function in float64, at points in the middle of 2^53 equal
    cells: none maps to infinity, so that none has to be clamped to the bounds, which is where
    float32 leaves outliers (pytorch#155588).
    """
    points = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 2.0**-54
    low, high = torch.special.ndtr(torch.tensor([-bound, bound], dtype=torch.float64)).tolist()
    quantiles = torch.special.ndtri(low + (high - low) * points)
    tensor.copy_((std * quantiles).clamp(-bound * std, bound * std))


def empty(parameter: torch.Tensor) -> torch.Tensor:
    """Return a tensor to draw into: of the parameter's shape, on the CPU, in float32."""
    return torch.empty(parameter.shape, dtype=torch.float32)


def assign(parameter: torch.Tensor, values: torch.Tensor) -> None:
    """Copy values into a parameter, rounded to its dtype, to where it lives."""
    with torch.no_grad():
        parameter.copy_(values)
