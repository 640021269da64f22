"""Published numbers that the parts of the analysis must give back."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.publishing.plots.ranks import _alike
from benchmark.statistics.failures import sign_test, wilson
from benchmark.statistics.paired import flip_signs, t_test
from benchmark.statistics.planning import detectable, noncentrality, power_of
from benchmark.statistics.ranking import benjamini_hochberg, holm

SLEEP = [-1.2, -2.4, -1.3, -1.3, 0, -1, -1.8, -0.8, -4.6, -1.4]
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
DEPRESSION = (
    [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
    [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29],
)
BH_1995 = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]


def one_t_test(values):
    values = np.array([values], dtype=float)
    return t_test(values, np.ones_like(values, dtype=bool), np.zeros(1))


def test_students_sleep_data():
    test = one_t_test(SLEEP)
    assert test.t[0] == pytest.approx(-4.062128, abs=5e-7)
    assert test.p[0] == pytest.approx(0.002832890, abs=5e-10)
    assert (test.low[0], test.high[0]) == pytest.approx((-2.459886, -0.700114), abs=5e-7)


def test_darwins_maize_by_t_and_by_flipping_signs():
    test = one_t_test(MAIZE)
    assert test.t[0] == pytest.approx(2.147987, abs=5e-7)
    assert test.p[0] == pytest.approx(0.04970294, abs=5e-9)
    assert flip_signs(np.array([MAIZE], dtype=float))[0] == 1726 / 32768


def test_hollander_and_wolfes_depression_scores_in_the_diagram_of_ranks():
    before, after = map(np.array, DEPRESSION)
    published = scipy.stats.wilcoxon(before, after, alternative="greater")
    assert (published.statistic, published.pvalue) == (40, 0.01953125)
    # Two-sided that is 0.039: told apart alone, not as one of three pairs.
    assert not _alike(np.array([before, after]))[0, 1]
    assert _alike(np.array([before, after, before]))[0, 1]


def test_benjamini_and_hochberg_1995_reject_four_and_holm_and_bonferroni_three():
    p = np.array(BH_1995)
    assert (benjamini_hochberg(p) < 0.05).sum() == 4
    assert (holm(p) < 0.05).sum() == 3
    assert (np.minimum(len(p) * p, 1) < 0.05).sum() == 3


@pytest.mark.parametrize(
    ("one", "other", "p"), [(86, 150, 3.715936e-05), (0, 6, 0.03125), (1, 5, 0.21875), (0, 0, 1)]
)
def test_exact_mcnemar(one, other, p):
    assert sign_test(one, other) == pytest.approx(p, rel=2e-7)
    assert sign_test(other, one) == sign_test(one, other)


def test_wilson_interval_of_none_in_ten():
    low, high = wilson(0, 10)
    assert low == 0
    assert high == pytest.approx(0.277533, abs=5e-7)


def test_power_of_a_paired_t_test_with_half_a_standard_deviation_and_34_pairs():
    # The published value holds the tail of the wrong sign as well, which is below 1e-6.
    assert power_of(34, 0.5, 1.0) == pytest.approx(0.80777750, abs=1e-6)


@pytest.mark.parametrize(
    ("alpha", "table"),
    [
        (
            0.05,
            {3: 3.264, 4: 2.128, 5: 1.682, 6: 1.435, 8: 1.156, 10: 0.996, 12: 0.889}
            | {20: 0.660, 30: 0.529, 50: 0.404, 100: 0.283},
        ),
        (0.0025, {3: 14.65, 5: 3.776, 10: 1.643, 30: 0.767, 100: 0.396}),
    ],
)
def test_detectable_differences_in_standard_deviations(alpha, table):
    for n, expected in table.items():
        assert detectable(n, 1.0, alpha) == pytest.approx(
            expected, abs=0.5 * 10 ** -(2 if expected > 10 else 3)
        )


def test_noncentrality_far_out_is_not_taken_from_a_solver_that_gives_up():
    # statsmodels' TTestPower.solve_power gives 5.50 here.
    assert noncentrality(2, 0.0025) / np.sqrt(3) == pytest.approx(14.65, abs=0.005)
