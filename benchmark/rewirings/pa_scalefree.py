"""Preferential attachment whose offset is in units of the weights: the same at every scale."""

from __future__ import annotations

import numpy as np

from benchmark.plugins import rewiring
from benchmark.rewirings.balancing import Offset, balance, balance_as_published, standard_deviation


def by_definition(matrix: np.ndarray, rng: np.random.Generator, offset: float = 1.0) -> None:
    """Rewire row by row with numpy: the slow twin."""
    balance_as_published(matrix, rng, offset=offset * _unit(matrix))


@rewiring(
    "pa_scalefree",
    summary="pa with its offset in standard deviations of the layer's weights",
    paper="after arXiv:2207.08148",
    permutes=True,
    reference=by_definition,
)
def pa_scalefree(matrix: np.ndarray, rng: np.random.Generator, offset: Offset = 1.0) -> None:
    """Balance the column sums, then the row sums, of the matrix [out, in], in place.

    The passes of arXiv:2207.08148 on the weights divided by their standard deviation: drawing
    probabilities depend on ratios alone, so multiplying the offset by the standard deviation does
    the same and leaves the weights untouched. On 256x256 Gaussians about 0.012 of the strength
    variance is left at any scale. Raises UsageError for an offset that is not positive and finite.
    """
    balance(matrix, rng, offset=offset * _unit(matrix))


def _unit(matrix: np.ndarray) -> float:
    """Return the standard deviation of the entries; 1 where all are equal and nothing moves."""
    return standard_deviation(matrix) or 1.0
