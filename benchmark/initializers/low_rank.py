"""Low-rank initialisation: the product of an orthonormal and a Gaussian factor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix, haar
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "low_rank",
    summary="orthonormal times Gaussian factor of a share of the full rank, at He's variance",
    paper="arXiv:2310.16597",
)
def low_rank(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    ratio: float = 0.5,
    gain: float = math.sqrt(2.0),
) -> None:
    """Set the matrix [out, in] to C P of rank r = ceil(ratio * min(out, in)).

    C [out, r] is Haar-random with orthonormal columns, P [r, in] is Gaussian with variance gain^2
    out / (r fan_in), so that every weight has mean 0 and variance gain^2 / fan_in. Nait Saada,
    Naderi and Tanner 2024, whose pseudo-iid weights include these.
    """
    import torch

    def product(rows: int, columns: int) -> torch.Tensor:
        full = min(rows, columns)
        rank = min(max(1, math.ceil(ratio * full)), full)
        std = gain * math.sqrt(rows / (rank * layer.fan_in))
        normal = torch.empty(rank, columns, dtype=torch.float64)
        return haar(rows, rank, generator) @ normal.normal_(0.0, std, generator=generator)

    fill_matrix(weight, layer, product)
