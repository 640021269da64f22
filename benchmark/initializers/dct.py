"""Discrete cosine initialisation: an orthogonal matrix without a random number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.matrices import dct_matrix, fill_matrix
from benchmark.plugins import initializer

if TYPE_CHECKING:
    import torch

    from benchmark.layers import Layer


@initializer(
    "dct",
    summary="orthonormal rows (or columns) from the discrete cosine transform, in every layer",
    paper="arXiv:2405.13901",
    deterministic=True,
)
def dct(weight: torch.Tensor, layer: Layer, generator: torch.Generator, gain: float = 1.0) -> None:
    """Fill the matrix [out, in] with rows of the DCT-II or, where out > in, columns.

    The DCT has order max(out, in); a rectangle takes frequencies spread over the whole band, times
    `gain`. A grouped convolution is one matrix over all its groups, as in `orthogonal`. The paper
    (Pan et al. 2024) uses it for query, key and value alone, which is `dct_attention`; filling
    every layer is the deterministic counterpart of `orthogonal`.
    """
    fill_matrix(weight, layer, lambda rows, columns: gain * dct_matrix(rows, columns))
