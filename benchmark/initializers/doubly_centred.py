"""Doubly centred Kaiming: every row and every column of the matrix sums to zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "doubly_centred",
    summary="Kaiming normal without its row and column means: all strengths are zero",
    paper="control arm of arXiv:2207.08148",
)
def doubly_centred(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    gain: float = math.sqrt(2.0),
) -> None:
    """Draw from N(0, gain^2 / fan_in) and take row and column means off the matrix.

    What is left is scaled by 1 / sqrt((1 - 1/rows)(1 - 1/columns)), so that the variance stays. It
    is the limit of preferential-attachment rewiring, no strength variance at all, reached by
    changing values where a rewiring moves them. An axis of length 1 is not centred, because that
    would leave nothing.
    """
    import torch

    def centred(rows: int, columns: int) -> torch.Tensor:
        drawn = torch.empty(rows, columns, dtype=torch.float64)
        drawn.normal_(0.0, gain / math.sqrt(layer.fan_in), generator=generator)
        for axis, length in enumerate(drawn.shape):
            if length > 1:
                drawn -= drawn.mean(axis, keepdim=True)
                drawn /= math.sqrt(1.0 - 1.0 / length)
        return drawn

    fill_matrix(weight, layer, centred)
