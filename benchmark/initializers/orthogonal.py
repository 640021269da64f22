"""Orthogonal initialisation: Haar-distributed rows or columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from benchmark.matrices import fill_matrix, haar
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "orthogonal",
    summary="orthonormal rows (or columns, where there are more rows) of the [out, in] matrix",
    paper="arXiv:1312.6120",
)
def orthogonal(
    weight: torch.Tensor,
    layer: Layer,
    generator: torch.Generator,
    gain: Annotated[float, Ge(0)] = 1.0,
) -> None:
    """Fill the matrix [out, in] with a Haar-random semi-orthogonal matrix.

    A grouped convolution is one matrix over all its groups, as in `torch.nn.init.orthogonal_`.
    Computed in float64 on the CPU, so that the float32 result is orthogonal to rounding. Saxe et
    al. 2014.
    """
    fill_matrix(weight, layer, lambda rows, columns: gain * haar(rows, columns, generator))
