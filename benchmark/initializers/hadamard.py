"""Hadamard initialisation: orthogonal, without a random number, all weights of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import fill_matrix, hadamard_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "hadamard",
    summary="orthonormal rows (or columns) from a Hadamard matrix: weights of one magnitude",
    paper="arXiv:2110.12661",
    deterministic=True,
)
def hadamard(
    weight: torch.Tensor, layer: Layer, generator: torch.Generator, gain: float = 1.0
) -> None:
    """Fill the matrix [out, in] with rows or columns of an orthonormal Hadamard matrix.

    Its order is max(out, in); at a power of two the weights are +-gain / sqrt(order), elsewhere the
    odd factor of the order is a DCT. The rows (or columns, where there are more rows) are chosen to
    leave no two neurons alike where `in` is above log2(out); the first ones, as in ZerO, repeat. A
    grouped convolution is one matrix over all its groups, as in `orthogonal`. ZerO (Zhao et al.
    2022) uses the matrix where layers widen; filling every layer is not published.
    """
    fill_matrix(weight, layer, lambda rows, columns: gain * hadamard_matrix(rows, columns))
