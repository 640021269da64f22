"""Preferential attachment over inputs alone: half of the published rewiring."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance, balance_as_published


def by_definition(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire row by row with numpy: the slow twin."""
    balance_as_published(matrix, rng, offset=offset, outputs=False)


@rewiring(
    "pa_in",
    summary="preferential attachment over inputs alone: the first pass of pa",
    paper="arXiv:2207.08148, first pass",
    permutes=True,
    reference=by_definition,
)
def pa_in(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Balance the column sums of the matrix [out, in], in place; row sums stay as they are.

    The first of the two passes of arXiv:2207.08148. Raises UsageError for an offset that is not
    positive and finite.
    """
    balance(matrix, rng, offset=offset, outputs=False)
