"""Gaussian-submatrix initialisation: mirrored Gaussian blocks that undo the ReLU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import fill_mirrored
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "gaussian_submatrix",
    summary="[[M, -M], [-M, M]] with M Gaussian, at He's variance",
    paper="arXiv:1806.06362",
)
def gaussian_submatrix(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, gain: float = 1.0
) -> None:
    """Mirror a Gaussian M, as `looks_linear` does with an orthogonal one.

    M has variance gain^2 over the number of its columns: between two ReLUs that is half the fan_in,
    and gives He's 2 / fan_in. Burkholz and Dubatovka 2019.
    """
    import torch

    def gaussian(rows: int, columns: int) -> torch.Tensor:
        return torch.empty(rows, columns).normal_(
            0.0, gain / math.sqrt(columns), generator=generator
        )

    fill_mirrored(weight, layer, gaussian)
