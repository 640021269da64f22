"""Sparse initialisation: a share of every input's weights is zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


def _zeros(rows: int, sparsity: float) -> int:
    return math.ceil(sparsity * rows)


def _mean_square(layer: Layer, sparsity: float, std: float) -> float:
    rows = math.prod(layer.shape) // layer.fan_in
    return std**2 * (1 - _zeros(rows, sparsity) / rows)


@initializer(
    "sparse",
    summary="N(0, std^2) with a share of the weights of every input set to zero",
    paper="torch.nn.init.sparse_, after Martens 2010",
    variance=lambda layer, sparsity, std: _mean_square(layer, sparsity, std),
)
def sparse(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    sparsity: float = 0.9,
    std: float = 0.01,
) -> None:
    """Draw from N(0, std^2), then zero ceil(sparsity * rows) weights of every column.

    As `torch.nn.init.sparse_`, on the matrix [out, in] of any weight instead of a 2-D one, and with
    positions from the generator given, where torch's come from the global one. It zeroes outgoing
    weights of an input; Martens himself limits incoming ones, which is `sparse_incoming`. std =
    0.01 leaves hardly a signal in networks without normalisation.
    """
    import torch

    def thinned(rows: int, columns: int) -> torch.Tensor:
        drawn = torch.empty(rows, columns).normal_(0.0, std, generator=generator)
        order = torch.rand(rows, columns, generator=generator).argsort(dim=0)
        return drawn.scatter_(0, order[: _zeros(rows, sparsity)], 0.0)

    fill_matrix(weight, layer, thinned)
