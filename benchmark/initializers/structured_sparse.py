"""Structured-sparse initialisation: a block-diagonal Gaussian with permuted rows and columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "structured_sparse",
    summary="block-diagonal Gaussian, rows and columns permuted, at He's variance",
    paper="arXiv:2310.16597",
)
def structured_sparse(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    parts: int = 4,
    gain: float = math.sqrt(2.0),
) -> None:
    """Fill `parts` diagonal blocks of the matrix [out, in], then permute its rows and columns.

    The blocks are as equal as the shape allows, at most min(out, in) of them. What they hold comes
    from N(0, gain^2 / (fan_in density)), the density being the share of the matrix they cover: the
    mean square of all weights is gain^2 / fan_in. Nait Saada, Naderi and Tanner 2024, whose
    pseudo-iid weights include these.
    """
    import torch

    def permuted(rows: int, columns: int) -> torch.Tensor:
        count = max(1, min(parts, rows, columns))
        row_part, column_part = (
            (torch.arange(length) * count // length)[torch.randperm(length, generator=generator)]
            for length in (rows, columns)
        )
        inside = row_part[:, None] == column_part[None, :]
        std = gain / math.sqrt(layer.fan_in * float(inside.double().mean()))
        drawn = torch.empty(rows, columns).normal_(0.0, std, generator=generator)
        return drawn.masked_fill_(~inside, 0.0)

    fill_matrix(weight, layer, permuted)
