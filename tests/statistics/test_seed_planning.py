"""How many seeds settle a claim."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.statistics import TableError, plan, plan_from_pilot
from benchmark.statistics.planning import cautious_sd, detectable, power_of


def simulated_power(n, difference, sd, alpha=0.05, cells=1):
    rng = np.random.default_rng(0)
    d = rng.normal(difference, sd, (20_000, cells, n))
    se = np.sqrt((d.var(axis=2, ddof=1) / n).sum(axis=1)) / cells
    t = d.mean(axis=(1, 2)) / se
    df = cells * (n - 1)
    return np.mean(2 * scipy.stats.t.sf(np.abs(t), df) < alpha)


def test_the_planned_seeds_have_the_power_and_one_less_has_not():
    found = plan(0.005, 0.006)
    assert found.seeds is not None
    assert simulated_power(found.seeds, 0.005, 0.006) == pytest.approx(0.81, abs=0.02)
    assert power_of(found.seeds - 1, 0.005, 0.006) < 0.8
    assert (found.seeds_cautious, found.at_hand) == (None, None)


def test_a_pilot_makes_the_plan_more_cautious_and_says_what_it_could_have_seen():
    found = plan(0.005, 0.006, n_pilot=5)
    sure = float(cautious_sd(0.006, 4))
    assert found.seeds_cautious == plan(0.005, sure).seeds
    assert found.seeds_cautious > found.seeds
    assert found.at_hand.seeds == 5
    assert found.at_hand.detectable == pytest.approx(float(detectable(5, 0.006)))
    assert [tier.seeds for tier in found.tiers] == [5, 10, 30]
    assert found.tiers[1].detectable == pytest.approx(float(detectable(10, sure)))
    powers = [tier.power for tier in found.tiers]
    assert powers == sorted(powers)


def test_more_power_or_a_stricter_level_takes_more_seeds():
    usual = plan(0.005, 0.006).seeds
    assert plan(0.005, 0.006, power=0.95).seeds > usual
    assert plan(0.005, 0.006, alpha=0.0025).seeds > usual
    assert plan(-0.005, 0.006).seeds == usual


def test_what_a_thousand_seeds_do_not_settle_is_none():
    assert plan(0.001, 0.0114).seeds is None or plan(0.001, 0.0114).seeds > 990
    assert plan(0.001, 0.02).seeds is None


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((0.005, 0.0), "above 0"),
        ((0.005, float("nan")), "above 0"),
        ((0.0, 0.01), "other than 0"),
        ((0.005, 0.01, 2), "at least 3"),
        ((0.005, 0.01, None, 0.05, 1.0), "alpha < power"),
    ],
)
def test_plans_that_make_no_sense_are_refused(arguments, part):
    with pytest.raises(ValueError, match=part):
        plan(*arguments)


@pytest.fixture
def pilot(arm_rows, as_table):
    one, two = ("digits", "mlp", "short"), ("fashion", "mlp", "short")
    return as_table(
        arm_rows("timm", [0.90, 0.91, 0.92, 0.93], one),
        arm_rows("pa", [0.91, 0.91, 0.94, 0.94], one),
        arm_rows("timm", [0.80, 0.81, 0.82], two),
        arm_rows("pa", [0.82, 0.80, 0.83], two),
    )


def test_a_pilot_table_is_planned_cell_by_cell_and_over_its_cells(pilot):
    found = plan_from_pilot(pilot, "pa", "timm", 0.01)
    first, second = found.per_cell
    sd = [np.std([0.01, 0, 0.02, 0.01], ddof=1), np.std([0.02, -0.01, 0.01], ddof=1)]
    assert first.mean_difference == pytest.approx(0.01, abs=1e-9)
    assert first.plan.seeds_cautious == plan(0.01, sd[0], n_pilot=4).seeds_cautious
    assert (first.n_pairs, second.n_pairs) == (4, 3)
    assert second.plan.sd == pytest.approx(sd[1], rel=1e-6)
    assert found.over_cells.sd == pytest.approx(np.hypot(*sd) / 2, rel=1e-6)
    assert found.over_cells.seeds < second.plan.seeds
    assert found.over_cells.at_hand.seeds == 3


def test_the_plan_over_equal_cells_has_its_power(arm_rows, as_table):
    cells = [(f"d{i}", "mlp", "short") for i in range(4)]
    steps = np.array([-0.009, -0.003, 0.003, 0.009])
    table = as_table(
        *(arm_rows("timm", [0.8] * 4, cell, 10**6) for cell in cells),
        *(arm_rows("pa", list(0.8 + steps), cell, 10**6) for cell in cells),
    )
    found = plan_from_pilot(table, "pa", "timm", 0.005).over_cells
    sd = steps.std(ddof=1)
    assert found.sd == pytest.approx(sd / 2, rel=1e-9)
    # Four cells of four pairs leave 12 degrees of freedom to the pilot's spread.
    sure = float(cautious_sd(sd / 2, 12))
    assert found.tiers[0].detectable == pytest.approx(
        float(detectable(5, sure, spreads=4)), rel=1e-9
    )
    assert simulated_power(found.seeds, 0.005, sd, cells=4) >= 0.79
    assert simulated_power(found.seeds - 1, 0.005, sd, cells=4) < 0.81


def test_cells_with_too_few_pairs_have_no_plan(pilot):
    less = pilot[(pilot["dataset"] == "digits") | (pilot["seed"] < 2)]
    found = plan_from_pilot(less, "pa", "timm")
    assert [each.plan is None for each in found.per_cell] == [False, True]
    assert found.over_cells is None


def test_unknown_arms_are_refused(pilot):
    with pytest.raises(TableError, match="pa"):
        plan_from_pilot(pilot, "ap", "timm")
