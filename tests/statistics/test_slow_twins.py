"""The vectorised formulas against one library call per number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.stats

from benchmark.statistics import analyse
from benchmark.statistics.failures import sign_test, wilson
from benchmark.statistics.paired import flip_signs
from benchmark.statistics.planning import cautious_sd, noncentrality, power_of, seeds_needed
from benchmark.statistics.ranking import benjamini_hochberg, holm


def paired_values(table, cell, treatment, baseline="timm"):
    """The accuracies of both arms at the seeds where both are ok."""
    own = table[(table[["dataset", "architecture", "recipe"]] == list(cell)).all(axis=1)]
    wide = own[own["status"] == "ok"].pivot(index="seed", columns="treatment", values="accuracy")
    both = wide.reindex(columns=[treatment, baseline]).dropna()
    return both[treatment].to_numpy(float), both[baseline].to_numpy(float)


def test_every_cell_agrees_with_scipys_t_test_and_permutation_test(random_table):
    table = random_table(1)
    checked = 0
    for row in analyse(table, "timm").comparisons:
        x, y = paired_values(table, row.cell, row.treatment)
        assert row.n_pairs == len(x)
        if row.state != "tested" or row.floored:
            continue
        d = np.round(x - y, 9)
        twin = scipy.stats.ttest_1samp(d, 0)
        interval = twin.confidence_interval()
        assert (row.t, row.p) == pytest.approx((twin.statistic, twin.pvalue), rel=1e-9)
        assert (row.ci_low, row.ci_high) == pytest.approx((interval.low, interval.high), rel=1e-9)
        units = np.rint(d * 1e9)
        flipped = scipy.stats.permutation_test(
            (units,), np.sum, permutation_type="samples", n_resamples=np.inf
        )
        assert row.p_sign_flip == pytest.approx(flipped.pvalue, rel=1e-12)
        checked += 1
    assert checked > 10


def test_the_population_interval_agrees_with_cluster_robust_least_squares(random_table):
    import statsmodels.api as sm

    table = random_table(2, datasets=4, architectures=3, failing=0.0)
    gone = (table["dataset"] == "d1") & (table["architecture"] == "a2")
    table = table[~gone].reset_index(drop=True)
    found = analyse(table, "timm")
    for row in found.ranking:
        cells = [each for each in found.comparisons if each.treatment == row.treatment]
        x = np.array([each.log_mean for each in cells])
        parts = []
        for factor in ("dataset", "architecture"):
            groups = pd.factorize(np.array([getattr(each, factor) for each in cells]))[0]
            fit = sm.OLS(x, np.ones(len(x))).fit(
                cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
            )
            parts.append((float(fit.bse[0]) ** 2, len(set(groups)) - 1))
        se = np.sqrt(sum(part for part, _ in parts))
        df = se**4 / sum(part**2 / free for part, free in parts)
        assert row.population is not None
        assert (row.population.se, row.population.df) == pytest.approx((se, df), rel=1e-9)
        assert row.scope == "data sets and architectures"
        p = 2 * scipy.stats.t.sf(abs(row.estimate) / se, df)
        assert row.population.p == pytest.approx(p, rel=1e-9)


def test_on_a_balanced_grid_the_population_interval_is_the_t_interval_of_group_means(random_table):
    table = random_table(3, datasets=5, architectures=2, failing=0.0)
    found = analyse(table, "timm")
    row = found.ranking[0]
    cells = [each for each in found.comparisons if each.treatment == row.treatment]
    means = pd.Series([c.log_mean for c in cells]).groupby([c.dataset for c in cells]).mean()
    low, high = scipy.stats.t.interval(0.95, 4, means.mean(), scipy.stats.sem(means))
    assert row.population is not None
    assert (row.population.low, row.population.high) == pytest.approx((low, high), rel=1e-9)
    assert row.scope == "data sets"


def test_spread_is_the_t_test_of_absolute_distances_from_the_median(random_table):
    table = random_table(4, seeds=14, failing=0.02)
    checked = 0
    for row in analyse(table, "timm").comparisons:
        if row.n_pairs < 10:
            assert row.spread_p is None
            continue
        x, y = paired_values(table, row.cell, row.treatment)
        u = np.abs(x - np.median(x)) - np.abs(y - np.median(y))
        twin = scipy.stats.ttest_1samp(np.round(u, 9), 0)
        assert (row.spread_t, row.spread_p) == pytest.approx(
            (twin.statistic, twin.pvalue), rel=1e-9
        )
        assert row.spread_sd_ratio == pytest.approx(x.std(ddof=1) / y.std(ddof=1), rel=1e-9)
        checked += 1
    assert checked > 10


def test_adjusted_p_values_agree_with_scipy_and_statsmodels():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 30):
        p = np.round(rng.random(n) ** 2, 2)  # with ties
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12)
        np.testing.assert_allclose(
            benjamini_hochberg(p), scipy.stats.false_discovery_control(p), rtol=1e-12
        )


def test_benjamini_hochberg_ignores_what_has_no_p():
    p = np.array([0.04, np.nan, 0.01, 0.5])
    expected = scipy.stats.false_discovery_control(p[[0, 2, 3]])
    found = benjamini_hochberg(p)
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2, 3]], expected, rtol=1e-12)


def test_failures_agree_with_scipys_binomial_test():
    for k, n in [(0, 1), (1, 1), (3, 17), (17, 17), (50, 1000)]:
        low, high = scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        assert np.array(wilson(k, n)) == pytest.approx((low, high), abs=1e-12)
        assert sign_test(k, n - k) == pytest.approx(scipy.stats.binomtest(k, n).pvalue, rel=1e-9)


def test_sign_flips_count_ties_of_differences_that_are_no_binary_fractions():
    d = np.array([0.1, 0.2, -0.3, 0.3, 0.1])
    assert flip_signs(d[None])[0] == np.mean(
        [abs(np.dot([1, 2, -3, 3, 1], 1 - 2 * (i >> np.arange(5) & 1))) >= 4 for i in range(32)]
    )


@pytest.mark.parametrize("alpha", [0.05, 0.0025, 0.05 / 400])
def test_noncentrality_agrees_with_a_root_finder(alpha):
    df = np.array([1.37, 2, 3.7, 9, 29.5, 99, 999])
    critical = scipy.stats.t.ppf(1 - alpha / 2, df)
    for power in (0.5, 0.8, 0.95):
        expected = [
            scipy.optimize.brentq(
                lambda x, c=c, f=f, p=power: scipy.stats.nct.sf(c, f, x) - p, 0, 10 * c, xtol=1e-13
            )
            for c, f in zip(critical, df, strict=True)
        ]
        np.testing.assert_allclose(noncentrality(df, alpha, power), expected, rtol=1e-10)


def test_noncentrality_far_out_goes_on_smoothly_and_ends():
    # At 2 degrees of freedom these levels have critical values just below and above 10,000.
    alphas = [2 * scipy.stats.t.sf(c, 2) for c in (9_990, 10_010)]
    near, far = (
        noncentrality(2, alpha) / c for alpha, c in zip(alphas, (9_990, 10_010), strict=True)
    )
    assert near == pytest.approx(far, rel=3e-8)
    assert noncentrality(2, 1e-14) > 1e6


def test_seeds_needed_is_the_first_number_of_pairs_whose_power_suffices():
    for ratio in (10.0, 3.3, 3.2, 1.0, 0.5, 0.2, 0.09):
        n = seeds_needed(ratio, 1.0)
        assert power_of(n, ratio, 1.0) >= 0.8
        assert n == 3 or power_of(n - 1, ratio, 1.0) < 0.8
    assert np.isnan(seeds_needed(0.08, 1.0))


def test_the_cautious_sd_falls_short_of_the_true_one_in_a_fifth_of_pilots():
    rng = np.random.default_rng(0)
    for n in (3, 5, 10):
        estimated = rng.normal(size=(20_000, n)).std(axis=1, ddof=1)
        assert np.mean(cautious_sd(estimated, n - 1) < 1) == pytest.approx(0.2, abs=0.015)
