"""Preferential attachment over outputs alone: half of the published rewiring."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance, balance_as_published


def by_definition(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire row by row with numpy: the slow twin."""
    balance_as_published(matrix, rng, offset=offset, inputs=False)


@rewiring(
    "pa_out",
    summary="preferential attachment over outputs alone: the second pass of pa",
    paper="arXiv:2207.08148, second pass",
    permutes=True,
    reference=by_definition,
)
def pa_out(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Balance the row sums of the matrix [out, in], in place; column sums stay as they are.

    The second of the two passes of arXiv:2207.08148. Raises UsageError for an offset that is not
    positive and finite.
    """
    balance(matrix, rng, offset=offset, inputs=False)
