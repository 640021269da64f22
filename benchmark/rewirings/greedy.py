"""Balancing without chance: the strongest neuron always gets the smallest weight."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import balance_as_published


@rewiring(
    "greedy",
    summary="the strongest neuron gets the smallest weight, without a draw",
    paper="limit of arXiv:2207.08148",
    permutes=True,
    deterministic=True,
)
def greedy(matrix: np.ndarray, rng: np.random.Generator) -> None:
    """Balance the column sums, then the row sums, of the matrix [out, in], in place.

    The passes of arXiv:2207.08148 with sorting by strength instead of drawing by it; among equal
    strengths the first neuron counts as the strongest. Says what the chance in `pa` is for.
    """
    balance_as_published(matrix, rng, draws=False)
