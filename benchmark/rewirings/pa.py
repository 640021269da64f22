"""Preferential attachment over inputs, then over outputs: Scabini, De Baets, Bruno 2022."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance, balance_as_published


def as_published(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire bit for bit as the authors' code does."""
    balance_as_published(matrix, rng, offset=offset)


@rewiring(
    "pa",
    summary="preferential attachment on strength, over inputs, then over outputs",
    paper="arXiv:2207.08148",
    permutes=True,
    reference=as_published,
)
def pa(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Balance the column sums, then the row sums, of the matrix [out, in], in place.

    `offset` is what the published algorithm adds to every attachment; it makes the effect depend
    on the scale of the weights: a 256x256 Gaussian of standard deviation 0.001 keeps 0.89 of its
    strength variance, one of 1.0 keeps 0.012. arXiv:2207.08148.
    Raises UsageError for an offset that is not positive and finite.
    """
    balance(matrix, rng, offset=offset)
