"""Rank correlation between a training-free measure and the result."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.statistics import TableError, associate, associations
from benchmark.statistics.association import spearman


@pytest.fixture
def measured(arm_rows, as_table):
    """A table from {cell name: ([measure of each treatment], [accuracy of each treatment])}."""

    def make(cells, spread=0.001):
        rows, measures = [], []
        for name, (measure, accuracy) in cells.items():
            for i, (x, y) in enumerate(zip(measure, accuracy, strict=True)):
                rows.append(
                    arm_rows(
                        f"t{i}",
                        np.round([y - spread, y, y + spread], 6).tolist(),
                        (name, "mlp", "short"),
                    )
                )
                measures += [x * 0.9, x, x * 1.1]
        return as_table(*rows).assign(strength_variance_after=measures)

    return make


X = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
Y = {
    "a": [0.96, 0.95, 0.91, 0.93, 0.92, 0.90],
    "b": [0.85, 0.86, 0.84, 0.81, 0.83, 0.82],
    "c": [0.71, 0.75, 0.74, 0.72, 0.73, 0.70],
}


def test_rho_is_spearmans_over_the_treatments_means(measured):
    found = associate(measured({name: (X, y) for name, y in Y.items()}))
    for cell, y in zip(found.per_cell, Y.values(), strict=True):
        assert cell.rho == pytest.approx(scipy.stats.spearmanr(X, y).statistic, abs=1e-12)
        assert [point.measure for point in cell.points] == pytest.approx(X)
        assert [point.outcome for point in cell.points] == pytest.approx(y)
        assert cell.n_trials == 18


def test_the_average_and_its_interval_over_initializers_by_hand(measured):
    found = associate(measured({name: (X, y) for name, y in Y.items()}))
    rho = np.array([scipy.stats.spearmanr(X, y).statistic for y in Y.values()])
    z = np.arctanh(rho)
    se = np.sqrt((1 + rho**2 / 2) / (6 - 3)).mean()
    reach = scipy.stats.norm.ppf(0.975) * se
    of_cells = scipy.stats.t.ppf(0.975, 2) * z.std(ddof=1) / np.sqrt(3)
    assert of_cells < reach
    assert found.over == "initializers"
    assert (found.rho, found.low, found.high) == pytest.approx(
        tuple(np.tanh([z.mean(), z.mean() - reach, z.mean() + reach])), rel=1e-12
    )


def test_an_initializer_counts_once_whatever_its_rewirings_and_arguments(measured):
    names = [f"t{i}{rest}" for i in range(5) for rest in ("", "+pa", "(gain=2.0)+pa")]
    x = np.arange(15.0) + 1
    y = np.round(0.9 - 0.01 * np.random.default_rng(1).permutation(15), 2)
    table = measured({"a": (x, y), "b": (x, y)})
    table["treatment"] = table["treatment"].map({f"t{i}": name for i, name in enumerate(names)})
    found = associate(table)
    assert [cell.n_initializers for cell in found.per_cell] == [5, 5]
    rho = scipy.stats.spearmanr(x, y).statistic
    reach = scipy.stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (5 - 3))
    assert found.high == pytest.approx(np.tanh(np.arctanh(rho) + reach), rel=1e-12)
    assert found.per_cell[0].high == pytest.approx(found.high, rel=1e-12)


def test_four_initializers_are_described_and_stand_for_no_others(measured):
    table = measured({name: (X, sorted(Y["a"])) for name in Y})
    rewired = {"t4": "t0+pa", "t5": "t1+pa"}
    found = associate(table.assign(treatment=table["treatment"].replace(rewired)))
    assert found.rho == pytest.approx(associate(table).rho)
    assert (found.low, found.high, found.over, found.p) == (None,) * 4
    assert found.reason.startswith("fewer than 5 initializers")
    assert found.per_cell[0].rho == pytest.approx(1)
    assert found.per_cell[0].low is None
    assert associate(table).low > 0


def test_cells_that_disagree_widen_the_interval(measured):
    falling = [0.95, 0.94, 0.93, 0.92, 0.91, 0.90]
    cells = {"a": (X, falling), "b": (X, falling[::-1]), "c": (X, falling), "d": (X, falling[::-1])}
    found = associate(measured(cells))
    assert found.over == "cells"
    assert found.rho == pytest.approx(0, abs=1e-12)
    most = np.arctanh(1 - 6 / (6**3 - 6))
    reach = scipy.stats.t.ppf(0.975, 3) * np.std([most, -most] * 2, ddof=1) / 2
    assert found.high == pytest.approx(np.tanh(reach), rel=1e-12)


def test_more_cells_of_the_same_treatments_do_not_narrow_the_interval(measured):
    two = associate(measured(dict.fromkeys("ab", (X, Y["a"]))))
    many = associate(measured(dict.fromkeys("abcdefgh", (X, Y["a"]))))
    assert (many.low, many.high) == pytest.approx((two.low, two.high), rel=1e-12)
    assert many.n_cells == 8


def test_what_says_nothing_is_none_with_a_reason(measured):
    found = associate(
        measured(
            {
                "constant measure": ([0.1] * 6, Y["a"]),
                "constant result": (X, [0.9] * 6),
                "few": (X[:4], Y["a"][:4]),
            }
        )
    )
    assert [cell.rho for cell in found.per_cell] == [None] * 3
    assert [cell.reason for cell in found.per_cell] == [
        "the measure is the same for all treatments",
        "the result is the same for all treatments",
        "fewer than 5 treatments",
    ]
    assert (found.rho, found.low, found.n_cells) == (None, None, 0)
    assert "fewer than 5 treatments" in found.reason


def test_a_cell_without_answer_does_not_spoil_the_others(measured):
    alone = associate(measured({"a": (X, Y["a"])}))
    with_more = associate(measured({"a": (X, Y["a"]), "b": ([2.0] * 6, Y["b"])}))
    assert (with_more.rho, with_more.low) == (alone.rho, alone.low)


def test_runs_without_measure_or_result_are_left_out_and_the_diverged_counted(measured):
    table = measured({"a": (X, Y["a"])})
    own = table["treatment"] == "t0"
    table.loc[own & (table["seed"] == 0), "strength_variance_after"] = np.nan
    table.loc[own & (table["seed"] == 1), "status"] = "diverged"
    cell = associate(table).per_cell[0]
    assert (cell.n_trials, cell.n_diverged) == (16, 1)
    assert (cell.points[0].measure, cell.points[0].outcome) == pytest.approx((1.1, 0.961))


def test_the_correlation_of_single_runs_is_given_beside(measured):
    table = measured({"a": (X, Y["a"])}, spread=0.02)
    cell = associate(table).per_cell[0]
    twin = scipy.stats.spearmanr(table["strength_variance_after"], table["accuracy"]).statistic
    assert cell.rho_trials == pytest.approx(twin, abs=1e-12)
    assert cell.rho_trials != pytest.approx(cell.rho, abs=0.01)


def test_ties_are_averaged_and_rounding_noise_is_a_tie():
    x, y = np.array([0.1 + 0.2, 0.3, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 3.0])
    expected = scipy.stats.spearmanr([1, 1, 2, 3], [1, 2, 3, 3]).statistic
    assert spearman(x, y) == pytest.approx(expected, abs=1e-12)


def test_a_cell_has_its_own_interval_for_other_initializers(measured):
    found = associate(measured({"a": (X, Y["a"])}))
    cell = found.per_cell[0]
    rho = scipy.stats.spearmanr(X, Y["a"]).statistic
    reach = scipy.stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / 3)
    ends = np.tanh([np.arctanh(rho) - reach, np.arctanh(rho) + reach])
    assert (cell.low, cell.high) == pytest.approx(tuple(ends), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((cell.low, cell.high), rel=1e-12)


def test_p_is_the_larger_of_that_for_initializers_and_that_for_cells(measured):
    by_hand = []
    for names in ("abc", "ab"):
        found = associate(measured({name: (X, Y[name]) for name in names}))
        rho = np.array([scipy.stats.spearmanr(X, Y[name]).statistic for name in names])
        z = np.arctanh(rho)
        se = np.sqrt((1 + rho**2 / 2) / 3).mean()
        by_hand.append(2 * scipy.stats.norm.sf(abs(z.mean()) / se))
        assert found.p == pytest.approx(by_hand[-1], rel=1e-9)
    of_cells = scipy.stats.ttest_1samp(
        np.arctanh([scipy.stats.spearmanr(X, y).statistic for y in Y.values()]), 0
    ).pvalue
    assert of_cells < by_hand[0]
    falling = [0.95, 0.94, 0.93, 0.92, 0.91, 0.90]
    mixed = associate(
        measured({"a": (X, falling), "b": (X, falling), "c": (X, falling), "d": (X, falling[::-1])})
    )
    most = np.arctanh(1 - 6 / (6**3 - 6))
    twin = scipy.stats.ttest_1samp([-most, -most, -most, most], 0)
    assert mixed.p == pytest.approx(twin.pvalue, rel=1e-9)


def test_a_measure_turned_upside_down_turns_the_correlation(measured):
    table = measured({name: (X, y) for name, y in Y.items()})
    one = associate(table)
    other = associate(table.assign(strength_variance_after=-table["strength_variance_after"]))
    assert (other.rho, other.low, other.high, other.p) == pytest.approx(
        (-one.rho, -one.high, -one.low, one.p), rel=1e-12
    )


def test_every_measure_of_a_mapping_is_correlated_as_its_own_column_would_be(measured):
    table = measured({name: (X, y) for name, y in Y.items()})
    table["depth"] = np.arange(len(table)) % 7 * 1.5
    table["measures"] = [
        {"strength": x, "synflow": depth} if row else None
        for row, (x, depth) in enumerate(
            zip(table["strength_variance_after"], table["depth"], strict=True)
        )
    ]
    by_mapping = associations(table)
    assert [each.measure for each in by_mapping] == ["strength", "synflow"]
    table.loc[0, ["strength_variance_after", "depth"]] = np.nan
    by_column = associations(table, ["strength_variance_after", "depth"])
    for one, other in zip(by_mapping, by_column, strict=True):
        assert (one.rho, one.low, one.high, one.p) == (other.rho, other.low, other.high, other.p)
        assert one.per_cell == other.per_cell
    assert by_column[0] == associate(table)
    assert by_mapping[0].per_cell[0].n_trials == 17


def test_an_infinite_measure_is_left_out(measured):
    table = measured({"a": (X, Y["a"])})
    table.loc[0, "strength_variance_after"] = np.inf
    assert associate(table).per_cell[0].n_trials == 17


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"measures": 3.0}, r"row 0 .*measures that is no mapping"),
        ({"measures": [{"accuracy": 1.0}] * 18}, "'accuracy' has the name of a column"),
        ({"measures": [{"x": "high"}] + [{}] * 17}, r"row 0 .*x that is no number"),
        ({}, "lacks the column 'measures'"),
    ],
)
def test_measures_that_are_none_are_refused_with_their_rows(measured, values, words):
    with pytest.raises(TableError, match=words):
        associations(measured({"a": (X, Y["a"])}).assign(**values))
