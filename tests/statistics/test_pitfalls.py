"""Cases in which a plausible formula lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.statistics import analyse
from benchmark.statistics.paired import mean_and_sd
from benchmark.statistics.planning import noncentrality
from benchmark.statistics.ranking import ranked, verdict


def only_comparison(as_table, arm_rows, baseline, treatment, n_test=1000):
    table = as_table(
        arm_rows("timm", baseline, n_test=n_test), arm_rows("pa", treatment, n_test=n_test)
    )
    return analyse(table, "timm").comparisons[0]


def test_equal_differences_prove_no_more_than_the_resolution_of_an_image(as_table, arm_rows):
    row = only_comparison(as_table, arm_rows, [0.90, 0.91, 0.92], [0.91, 0.92, 0.93], n_test=100)
    floor = 0.01 / np.sqrt(6)
    assert row.floored
    assert row.sd_difference == pytest.approx(floor, rel=1e-12)
    assert row.t == pytest.approx(0.01 / (floor / np.sqrt(3)), rel=1e-9)
    assert 0.01 < row.p < 0.1


def test_all_zero_differences_are_identical_with_p_one(as_table, arm_rows):
    row = only_comparison(as_table, arm_rows, [0.9, 0.8, 0.7], [0.9, 0.8, 0.7])
    assert (row.state, row.p, row.p_sign_flip, row.mean_difference) == ("identical", 1, 1, 0)


def test_the_sd_of_equal_numbers_is_zero_and_not_rounding_noise():
    values = np.array([[0.1, 0.1, 0.1]])
    assert np.std(values, ddof=1) > 0
    assert mean_and_sd(values, np.ones_like(values, dtype=bool))[1] == 0


def test_two_pairs_are_too_few_and_three_are_enough(as_table, arm_rows):
    two = only_comparison(as_table, arm_rows, [0.9, 0.8, "diverged"], [0.8, 0.9, 0.7])
    assert (two.state, two.n_pairs, two.n_diverged_pairs, two.p) == ("too_few", 2, 1, None)
    three = only_comparison(as_table, arm_rows, [0.9, 0.8, 0.7], [0.8, 0.9, 0.6])
    assert (three.state, three.df) == ("tested", 2)
    assert three.p_sign_flip is not None
    assert three.p_sign_flip >= 2 / 8


def test_no_sign_flip_beyond_twelve_pairs(as_table, arm_rows):
    x = [0.5 + 0.01 * i for i in range(13)]
    y = [0.5 + 0.012 * i + 0.001 for i in range(13)]
    assert only_comparison(as_table, arm_rows, x[:12], y[:12]).p_sign_flip == 2 / 2**12
    assert only_comparison(as_table, arm_rows, x, y).p_sign_flip is None


def test_infrastructure_is_never_held_against_a_treatment(as_table, arm_rows):
    base = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    lost = [0.9, 0.8, 0.7, "lost", "timeout", "out_of_memory"]
    table = as_table(arm_rows("timm", base), arm_rows("pa", lost))
    failures = analyse(table, "timm").failures[1]
    assert (failures.k, failures.n, failures.only_treatment) == (0, 3, 0)
    row = analyse(table, "timm").comparisons[0]
    assert (row.n_pairs, row.n_diverged_pairs, row.n_missing) == (3, 0, 3)


def test_who_diverges_more_is_said_of_that_arm_alone_and_stands_in_its_verdict(as_table, arm_rows):
    whole = [0.900, 0.905, 0.910, 0.908, 0.903, 0.907] * 2
    torn = ["diverged"] * 6 + [0.950, 0.956, 0.958, 0.953, 0.951, 0.957]
    table = as_table(arm_rows("timm", whole), arm_rows("pa", torn))
    found, back = analyse(table, "timm"), analyse(table, "pa")
    assert [found.failures[1].p, back.failures[1].p] == pytest.approx([2 / 2**6] * 2)
    assert (found.failures[1].diverges_more, back.failures[1].diverges_more) == (True, False)
    assert found.ranking[0].verdict == "better where it trains"
    assert back.ranking[0].verdict == "worse"
    reverse = as_table(arm_rows("timm", torn), arm_rows("pa", [x + 0.08 for x in whole]))
    assert analyse(reverse, "timm").ranking[0].verdict == "better"


def test_a_perfect_accuracy_counts_as_half_an_image(as_table, arm_rows):
    row = only_comparison(as_table, arm_rows, [0.99] * 3, [1.0] * 3, n_test=100)
    assert row.log_mean == pytest.approx(np.log(0.5), abs=1e-12)


def test_a_cell_in_which_the_baseline_misses_few_images_is_flagged(as_table, arm_rows):
    near, far = ("digits", "mlp", "short"), ("fashion", "mlp", "short")
    table = as_table(
        arm_rows("timm", [0.995, 0.99, 0.991], near), arm_rows("timm", [0.98, 0.99, 0.9], far)
    )
    assert analyse(table, "timm").near_ceiling == (near,)


def test_equal_estimates_share_a_rank_and_the_next_is_counted_on(as_table, arm_rows):
    table = as_table(
        arm_rows("timm", [0.9, 0.8, 0.7]),
        arm_rows("b", [0.91, 0.82, 0.72]),
        arm_rows("a", [0.91, 0.82, 0.72]),
        arm_rows("c", [0.89, 0.8, 0.7]),
    )
    ranking = analyse(table, "timm").ranking
    assert [(row.rank, row.treatment) for row in ranking] == [(1, "a"), (1, "b"), (3, "c")]


def test_rounding_noise_does_not_break_a_shared_rank(random_table):
    row = analyse(random_table(1, failing=0.0), "timm").ranking[0]
    found = [
        replace(row, treatment="b", estimate=0.1 + 0.2),
        replace(row, treatment="a", estimate=0.3 + 2e-12),
        replace(row, treatment="c", estimate=0.3),
    ]
    assert [(each.rank, each.treatment) for each in ranked(found)] == [(1, "b"), (1, "c"), (3, "a")]


def test_two_groups_are_no_sample_and_three_are(random_table):
    two = analyse(random_table(1, datasets=2, architectures=2, failing=0.0), "timm").ranking[0]
    assert (two.scope, two.population) == ("these cells", None)
    three = analyse(random_table(1, datasets=2, architectures=3, failing=0.0), "timm").ranking[0]
    assert three.scope == "architectures"
    assert three.population is not None


def test_variants_of_one_architecture_are_no_sample_of_architectures(random_table):
    table = random_table(1, datasets=2, architectures=3, failing=0.0)
    names = {name: f"vit(depth={k})" for k, name in enumerate(table["architecture"].unique(), 2)}
    table["architecture"] = table["architecture"].map(names)
    row = analyse(table, "timm").ranking[0]
    assert (row.cells, row.scope, row.population) == (6, "these cells", None)


def test_the_shown_interval_is_the_wider_and_the_shown_p_the_larger(random_table):
    wider = set()
    for seed in range(12):
        for row in analyse(random_table(seed, datasets=4, failing=0.0), "timm").ranking:
            both = [row.seeds, row.population]
            widths = [each.high - each.low for each in both]
            assert row.high - row.low == max(widths)
            assert row.p == max(each.p for each in both)
            assert row.p_tost == max(each.p_tost for each in both)
            wider.add(widths[0] > widths[1])
    assert wider == {True, False}


def test_the_family_is_paid_for_in_every_verdict_and_in_what_would_have_been_seen(random_table):
    table = random_table(3, failing=0.0)
    small, large = analyse(table, "timm", family=1), analyse(table, "timm", family=40)
    for row in small.ranking:
        same = next(each for each in large.ranking if each.treatment == row.treatment)
        assert (same.p, same.low, same.high) == (row.p, row.low, row.high)
        assert same.p_family == min(1.0, 40 * row.p)
        assert same.detectable_percent > row.detectable_percent
    assert large.family_error_percent == 5
    assert analyse(table, "timm", family=2).family_error_percent == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((True, 0.0, 1.0, 1e-9, False), "identical"),
        ((True, 0.0, 1.0, 1e-9, True), "identical where it trains"),
        ((False, 0.1, 0.04, 1.0, True), "worse"),
        ((False, -0.1, 0.04, 1.0, True), "better where it trains"),
        ((False, -0.1, 0.04, 1e-9, False), "better"),
        ((False, -0.1, 0.06, 0.04, False), "equivalent"),
        ((False, -0.1, 0.06, 0.04, True), "equivalent where it trains"),
        ((False, -0.1, 0.06, 0.06, True), "no difference shown"),
        ((False, -0.1, 0.05, 0.05, False), "no difference shown"),
    ],
)
def test_the_first_verdict_that_applies_is_given(arguments, word):
    assert verdict(*arguments) == word


def test_what_would_have_been_seen_allows_for_both_intervals_at_the_level_of_the_verdict(
    random_table,
):
    narrower = 0
    for seed in range(12):
        table = random_table(seed, datasets=4, failing=0.0)
        for row in analyse(table, "timm", family=20).ranking:
            both = [row.seeds, row.population]
            seen = [noncentrality(each.df, 0.05 / 20).item() * each.se for each in both]
            assert row.detectable_percent == pytest.approx(-100 * np.expm1(-max(seen)), rel=1e-9)
            widths = [each.high - each.low for each in both]
            narrower += np.argmax(seen) != np.argmax(widths)
    assert narrower
