"""What the error varies with: a balanced block by hand, and the order of the data."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.statistics import TableError, analyse, data_order

FIXED, PER_SEED = ("digits", "mlp", "fixed"), ("digits", "mlp", "shuffled")


def accuracies(errors):
    return list(1 - np.asarray(errors))


def test_the_block_ends_at_the_first_seeds_that_all_treatments_share(arm_rows, as_table):
    table = as_table(
        arm_rows("timm", [0.9, 0.8, "diverged", 0.7, 0.6]),
        arm_rows("pa", [0.91, "lost", 0.9, 0.72, 0.63]),
        arm_rows("timm", [0.5, 0.6, 0.7], FIXED),
        arm_rows("pa", [0.5, 0.61, 0.7], FIXED),
    )
    found = analyse(table, "timm").variance
    assert (found.cells, found.treatments, found.seeds) == (2, 2, 3)
    # Seeds 0, 3, 4 of the one cell and 0, 1, 2 of the other.
    y = np.log(
        [
            [[0.5, 0.4, 0.3], [0.5, 0.39, 0.3]],
            [[0.1, 0.3, 0.4], [0.09, 0.28, 0.37]],
        ]
    )
    assert found.total == pytest.approx(((y - y.mean()) ** 2).sum(), rel=1e-12)
    cells = 2 * 3 * ((y.mean(axis=(1, 2)) - y.mean()) ** 2).sum()
    assert found.sums_of_squares["cell"] == pytest.approx(cells, rel=1e-12)
    assert sum(found.shares.values()) == pytest.approx(1, rel=1e-12)
    assert found.degrees_of_freedom == {
        "cell": 1,
        "treatment": 1,
        "interaction": 1,
        "seed": 4,
        "residual": 4,
    }


def test_variances_over_seeds_are_pooled_over_the_arms_that_both_recipes_have(arm_rows, as_table):
    few, many = [0.10, 0.12, 0.11], [0.20, 0.10, 0.15, 0.18]
    table = as_table(
        arm_rows("timm", accuracies(few), FIXED),
        arm_rows("timm", accuracies(many), PER_SEED),
        arm_rows("pa", accuracies(many[:2]), FIXED),
        arm_rows("pa", [*accuracies(few), "diverged"], PER_SEED),
        arm_rows("only here", accuracies(many), PER_SEED),
        arm_rows("one run", accuracies(many[:1]), FIXED),
        arm_rows("one run", accuracies(many), PER_SEED),
        arm_rows("timm", accuracies(many), ("fashion", "mlp", "fixed")),
    )
    found = data_order(table, "fixed", "shuffled")

    def pooled(*arms):
        squares = [np.var(np.log(arm), ddof=1) * (len(arm) - 1) for arm in arms]
        return sum(squares) / sum(len(arm) - 1 for arm in arms)

    assert found.arms == 2
    assert found.fixed == pytest.approx(pooled(few, many[:2]), rel=1e-9)
    assert found.per_seed == pytest.approx(pooled(many, few), rel=1e-9)
    assert (found.degrees_of_freedom_fixed, found.degrees_of_freedom_per_seed) == (3, 5)
    assert found.share == pytest.approx(1 - found.fixed / found.per_seed, rel=1e-12)


def test_the_share_of_the_order_is_what_it_adds_to_the_variance(arm_rows, as_table):
    rng = np.random.default_rng(0)
    weights, order = 0.03, 0.06
    rows = []
    for treatment in ("timm", "pa", "he"):
        for cell, sd in ((FIXED, weights), (PER_SEED, np.hypot(weights, order))):
            errors = 0.2 * np.exp(rng.normal(0, sd, 400))
            rows.append(arm_rows(treatment, accuracies(errors), cell, 10**6))
    found = data_order(as_table(*rows), "fixed", "shuffled")
    assert found.share == pytest.approx(order**2 / (weights**2 + order**2), abs=0.03)


def test_without_two_runs_in_both_recipes_nothing_is_said_of_the_order(arm_rows, as_table):
    table = as_table(arm_rows("timm", [0.9], FIXED), arm_rows("timm", [0.9, 0.8], PER_SEED))
    assert data_order(table, "fixed", "shuffled") is None
    equal = as_table(arm_rows("timm", [0.9] * 3, FIXED), arm_rows("timm", [0.9] * 3, PER_SEED))
    assert data_order(equal, "fixed", "shuffled").share is None
    with pytest.raises(TableError, match="'long'"):
        data_order(table, "fixed", "long")
