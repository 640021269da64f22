"""Sinusoidal initialisation: each neuron's weights are a sine of its own frequency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "sinusoidal",
    summary="row i is a sine of frequency i + 1, scaled to He's variance",
    paper="arXiv:2505.12909",
    deterministic=True,
)
def sinusoidal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    gain: float = math.sqrt(2.0),
) -> None:
    """Set W[i, j] = a sin((i + 1)(2 pi j / n + 2 pi / m)) on the matrix [m, n].

    a = gain / sqrt(variance of the sines * fan), the variance unbiased and over the whole matrix; a
    grouped convolution is one matrix over all its groups, as in the authors' code. Rows sum to zero
    unless n divides i + 1. Where n divides m, row m - k is the negative of row k, so that a square
    matrix has less than half its rank, and a tall one repeats rows. Arguments are computed in
    float64. Where all sines vanish (1 x 1 to 2 x 2) every weight is gain / sqrt(fan).
    Fernandez-Hernandez et al. 2025.
    """
    import torch

    fan = layer.fan_in if mode == "fan_in" else layer.fan_out

    def waves(rows: int, columns: int) -> torch.Tensor:
        frequency = torch.arange(1, rows + 1, dtype=torch.float64)
        position = torch.arange(columns, dtype=torch.float64) / columns + 1.0 / rows
        # Full turns are dropped before pi comes in, which keeps high frequencies exact.
        sines = torch.sin(2.0 * math.pi * torch.frac(torch.outer(frequency, position)))
        variance = float(sines.var()) if sines.numel() > 1 else 0.0
        if variance < 1e-12:
            return torch.full_like(sines, gain / math.sqrt(fan))
        return sines * (gain / math.sqrt(variance * fan))

    fill_matrix(weight, layer, waves)
