"""Preferential attachment turned round: strong neurons get stronger. An arm for harm."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance, balance_as_published


def by_definition(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire row by row with numpy: the slow twin."""
    balance_as_published(matrix, rng, offset=offset, descending=True)


@rewiring(
    "anti_pa",
    summary="pa with the largest weights first, which raises the strength variance",
    paper="control arm, after arXiv:2207.08148",
    permutes=True,
    reference=by_definition,
)
def anti_pa(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Unbalance the column sums, then the row sums, of the matrix [out, in], in place.

    As in arXiv:2207.08148, but the k-th drawn neuron gets the k-th largest weight. If a low
    strength variance helps, this arm is to harm. Raises UsageError for an offset that is not
    positive and finite.
    """
    balance(matrix, rng, offset=offset, descending=True)
