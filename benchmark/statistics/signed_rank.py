"""Wilcoxon's signed-rank test of many comparisons at once, for the picture of mean ranks."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import scipy

from benchmark.statistics.trials import Floats

ALPHA = 0.05
"""The level of the picture's tests, Holm-corrected over all pairs."""
EXACT_MOST = 50
"""With more differences than this the distribution is taken as normal."""


def signed_rank(differences: Floats) -> Floats:
    """Two-sided p of Wilcoxon's signed-rank test of every row; 1 for a row of zeros.

    Zeros are left out. Up to 50 differences p is exact, whatever ties there are; beyond, S is taken
    as normal with its variance given the ties. Equals `scipy.stats.wilcoxon`, whose import would
    take a board longer than its tests, but for 14 to 50 differences with ties or zeros: scipy
    takes those as normal, and with them all other rows.
    """
    return np.array([_p(row[row != 0]) for row in differences], dtype=np.float64)


def least_differences(comparisons: int) -> int:
    """How many differences each of so many tests takes for Holm to find any below `ALPHA`.

    The least exact p of n differences is 2 / 2^n, that of one sign; Holm's first step multiplies it
    by the number of tests.
    """
    return next(n for n in itertools.count(1) if comparisons * 2.0 ** (1 - n) < ALPHA)


def mid_ranks(values: Floats) -> Floats:
    """Ranks from 1 within every row, the mean of their places for equal values.

    Equals `scipy.stats.rankdata(values, axis=1)`.
    """
    return np.array([_doubled_ranks(row) for row in values], dtype=np.float64) / 2


def _doubled_ranks(values: Floats) -> np.ndarray:
    ordered = np.sort(values)
    return np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right") + 1


def _p(differences: Floats) -> float:
    n = len(differences)
    if n == 0:
        return 1.0
    ranks = _doubled_ranks(np.abs(differences))
    positive = int(ranks[differences > 0].sum())
    if n <= EXACT_MOST:
        below, above = _tails(tuple(np.sort(ranks).tolist()))
        return min(1.0, 2.0 * min(below[positive], above[positive]))
    # The variance of a sum of ranks with random signs, whatever ties there are.
    z = (positive - ranks.sum() / 2) / np.sqrt((ranks.astype(np.float64) ** 2).sum() / 4)
    return float(2.0 * scipy.special.ndtr(-abs(z)))


@lru_cache(maxsize=64)
def _tails(ranks: tuple[int, ...]) -> tuple[Floats, Floats]:
    """P(S <= s) and P(S >= s) by s, for the sum S of the ranks whose sign is positive."""
    share = np.zeros(sum(ranks) + 1)
    share[0] = 1.0
    for rank in ranks:
        share[rank:] += share[:-rank].copy()
        share /= 2
    return np.cumsum(share), np.cumsum(share[::-1])[::-1]
