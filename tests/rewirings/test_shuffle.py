"""The control arm: every arrangement of a layer's entries is equally likely."""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy import stats

import benchmark
from benchmark.strength import strength_variance


def test_every_arrangement_is_equally_likely() -> None:
    """Chi-square over the 24 arrangements of a 2 x 2 matrix, alpha = 0.001.

    Shuffling only rows, only columns or only within rows reaches at most 4 of the 24.
    """
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    counts = Counter(
        tuple(benchmark.rewire(matrix, "shuffle", seed=seed).ravel()) for seed in range(2400)
    )
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_strength_variance_stays_what_it_is_for_independent_entries() -> None:
    factors = []
    for seed in range(10):
        weight = np.random.default_rng(seed).normal(size=(256, 256))
        after = strength_variance(benchmark.rewire(weight, "shuffle", seed=seed))
        factors.append(after.score / strength_variance(weight).score)
    assert 0.9 < np.mean(factors) < 1.1


def test_none_leaves_every_weight_in_place() -> None:
    weight = np.random.default_rng(1).normal(size=(5, 7))
    assert (benchmark.rewire(weight, "none", seed=3) == weight).all()
