"""Wilcoxon's signed-rank test is scipy's and the textbook's, exact where ties allow scipy none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from benchmark.statistics.signed_rank import mid_ranks, signed_rank


def differences(n: int, ties: bool) -> np.ndarray:
    drawn = np.random.default_rng(n).normal(0.3, 1.0, (12, n))
    return np.round(2 * drawn) if ties else drawn


@pytest.mark.parametrize(
    ("n", "ties"),
    [(6, False), (6, True), (10, True), (25, False), (50, False), (51, False), (90, True)],
)
def test_p_is_scipys(n: int, ties: bool) -> None:
    drawn = differences(n, ties)
    expected = scipy.stats.wilcoxon(drawn, axis=1).pvalue
    assert signed_rank(drawn) == pytest.approx(expected, rel=1e-12)


def test_hollander_and_wolfes_depression_scores_have_their_published_p() -> None:
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert signed_rank((before - after)[None]) == pytest.approx([2 * 0.01953125])


def test_p_counts_the_patterns_of_signs_where_differences_tie() -> None:
    drawn = np.array([3.0, -1.0, 1.0, 2.0, 2.0, 0.0, -1.0, 4.0, 5.0, 5.0, 2.0, 7.0, 1.0, 3.0, 6.0])
    ranks = scipy.stats.rankdata(np.abs(drawn[drawn != 0]))
    signs = np.array(list(itertools.product((0, 1), repeat=len(ranks))))
    sums, found = signs @ ranks, ranks[drawn[drawn != 0] > 0].sum()
    expected = 2 * min((sums <= found).mean(), (sums >= found).mean())
    assert signed_rank(drawn[None]) == pytest.approx([expected])


def test_a_row_of_zeros_is_no_difference_and_changes_no_other_row() -> None:
    row = differences(20, ties=False)[0]
    together = signed_rank(np.array([row, np.zeros(20), np.round(row)]))
    assert together[1] == 1.0
    assert together[0] == signed_rank(row[None])[0]


def test_equal_values_share_the_mean_of_their_places() -> None:
    drawn = differences(25, ties=True)
    assert np.array_equal(mid_ranks(drawn), scipy.stats.rankdata(drawn, axis=1))
