"""What must not matter: row order, names, who else is on the board, and which arm is called A."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.statistics import (
    analyse,
    associate,
    contrast_families,
    early_training,
    epochs_to_target,
)
from benchmark.statistics.results import plain

SEEDS = st.integers(0, 2**32 - 1)
POOL = {"rank", "p_holm"}
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def without_pool(rows):
    """Rows by cell and treatment, less what is allowed to depend on the other treatments."""
    return {
        (row.get("dataset"), row.get("architecture"), row["treatment"]): {
            key: value for key, value in row.items() if key not in POOL
        }
        for row in rows
    }


@quick
@given(seed=SEEDS)
def test_the_order_of_rows_changes_nothing(random_table, seed):
    table = random_table(seed)
    shuffled = table.sample(frac=1, random_state=seed % 1000)
    assert analyse(shuffled, "timm", 20).to_dict() == analyse(table, "timm", 20).to_dict()


@quick
@given(seed=SEEDS, gone=st.integers(1, 3))
def test_removing_a_treatment_changes_no_other_row_to_the_last_bit(random_table, seed, gone):
    table = random_table(seed, seeds=14)
    # Seeds that only this treatment has move the places of all others.
    own = table["treatment"] == f"init{gone}+pa"
    table.loc[own, "seed"] = table.loc[own, "seed"] * 2 - 5
    whole = analyse(table, "timm", 20).to_dict()
    fewer = analyse(table[~own], "timm", 20).to_dict()
    for part in ("arms", "comparisons", "failures", "ranking", "unranked"):
        left = without_pool(fewer[part])
        full = without_pool(whole[part])
        assert left == {key: row for key, row in full.items() if key in left}
        assert {key[-1] for key in full} - {key[-1] for key in left} <= {f"init{gone}+pa"}


@quick
@given(seed=SEEDS)
def test_names_of_treatments_change_nothing(random_table, seed):
    table = random_table(seed)
    names = {"init1+pa": "z", "init2+pa": "a|b", "init3+pa": "M"}
    renamed = table.replace({"treatment": names})
    found = analyse(table, "timm", 20).to_dict()
    again = analyse(renamed, "timm", 20).to_dict()
    for part in ("arms", "comparisons", "failures", "ranking", "unranked"):
        expected = [row | {"treatment": names.get(row["treatment"], "timm")} for row in found[part]]
        assert without_pool(again[part]) == without_pool(expected)


@quick
@given(seed=SEEDS)
def test_swapping_the_arms_flips_signs_and_keeps_p(random_table, seed):
    table = random_table(seed, treatments=2, failing=0.0, seeds=11)
    one, other = analyse(table, "timm"), analyse(table, "init1+pa")
    for row, back in zip(one.comparisons, other.comparisons, strict=True):
        assert row.mean_difference == -back.mean_difference
        assert row.log_mean == pytest.approx(-back.log_mean, abs=1e-15)
        assert (row.ci_low, row.ci_high) == pytest.approx((-back.ci_high, -back.ci_low))
        assert (row.p, row.p_sign_flip) == (back.p, back.p_sign_flip)
        assert row.sd_difference == pytest.approx(back.sd_difference, rel=1e-12)
        assert (row.spread_p, row.spread_t) == pytest.approx((back.spread_p, -back.spread_t))
    x, y = one.ranking[0], other.ranking[0]
    assert x.estimate == pytest.approx(-y.estimate, abs=1e-15)
    assert (x.low, x.high) == pytest.approx((-y.high, -y.low), rel=1e-9)
    assert (x.p, x.p_tost) == pytest.approx((y.p, y.p_tost), rel=1e-9)


@quick
@given(seed=SEEDS)
def test_swapping_the_arms_swaps_who_fails(random_table, seed):
    table = random_table(seed, treatments=2, failing=0.15)
    one, other = analyse(table, "timm").failures[1], analyse(table, "init1+pa").failures[1]
    assert (one.only_treatment, one.only_baseline) == (other.only_baseline, other.only_treatment)
    assert one.p == other.p


def without_holm(contrast):
    if contrast.headline is None:
        return contrast
    return replace(contrast, headline=replace(contrast.headline, p_holm=0.0))


@pytest.fixture(scope="module")
def early_table(random_table):
    """A table with rewirings of two initializers, a measure, and what early training left."""

    def make(seed):
        table = random_table(seed, treatments=6)
        names = ["timm", "timm+pa", "timm+shuffle", "he", "he+pa", "he+shuffle"]
        spelled = {"timm": "timm"} | {f"init{i}+pa": names[i] for i in range(1, 6)}
        rng = np.random.default_rng(seed)
        epochs = rng.integers(1, 9, len(table)).astype(float)
        return table.assign(
            treatment=table["treatment"].map(spelled),
            epochs_to_target=np.where(epochs < 8, epochs, np.nan),
            epoch1_accuracy=np.round(table["accuracy"].astype(float) / 2, 3),
            n_validation=1000,
            strength_variance_after=rng.random(len(table)),
        )

    return make


@quick
@given(seed=SEEDS)
def test_the_order_of_rows_changes_no_contrast_no_race_and_no_correlation(early_table, seed):
    table = early_table(seed)
    shuffled = table.sample(frac=1, random_state=seed % 1000)
    assert contrast_families(shuffled) == contrast_families(table)
    assert early_training(shuffled, "timm").to_dict() == early_training(table, "timm").to_dict()
    assert associate(shuffled) == associate(table)


@quick
@given(seed=SEEDS, gone=st.sampled_from(["he", "he+pa", "timm+shuffle"]))
def test_removing_a_treatment_changes_no_race_and_no_contrast_of_others(early_table, seed, gone):
    table = early_table(seed)
    own = table["treatment"] == gone
    table.loc[own, "seed"] = table.loc[own, "seed"] * 2 - 5
    sizes = {"rewiring against none": 9, "pa against shuffle": 9}
    whole, fewer = table, table[~own]
    races = {row.treatment: row for row in epochs_to_target(whole, "timm", 20)}
    assert all(races[row.treatment] == row for row in epochs_to_target(fewer, "timm", 20))
    found, left = (
        {
            (family.name, row.treatment): row
            for family in contrast_families(each, families=sizes)
            for row in family.contrasts
            if family.name in sizes
        }
        for each in (whole, fewer)
    )
    assert left.keys() == {
        key for key in found if gone not in (found[key].treatment, found[key].reference)
    }
    for key, row in left.items():
        assert without_holm(row) == without_holm(found[key])


@quick
@given(seed=SEEDS)
def test_swapping_the_runners_swaps_who_was_first(early_table, seed):
    table = early_table(seed)
    two = table[table["treatment"].isin(("timm", "he"))]
    one, other = epochs_to_target(two, "timm")[0].overall, epochs_to_target(two, "he")[0].overall
    assert (one.first_treatment, one.first_baseline) == (
        other.first_baseline,
        other.first_treatment,
    )
    assert (one.ties, one.n_pairs, one.p) == (other.ties, other.n_pairs, other.p)
    assert (one.reached_treatment, one.reached_baseline) == (
        other.reached_baseline,
        other.reached_treatment,
    )


@quick
@given(seed=SEEDS)
def test_swapping_the_arms_of_a_named_contrast_flips_its_signs(early_table, seed):
    table = early_table(seed)
    family = contrast_families(table, named=[("he", "timm+pa"), ("timm+pa", "he")])[-1]
    one, other = (row.headline for row in family.contrasts)
    assert (one is None) == (other is None)
    if one and other:
        assert one.estimate == pytest.approx(-other.estimate, abs=1e-15)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-9)
        assert (one.p, one.p_family) == pytest.approx((other.p, other.p_family), rel=1e-9)


def test_the_weight_of_a_cell_does_not_depend_on_its_seeds(arm_rows, as_table):
    one, two = ("digits", "mlp", "short"), ("fashion", "mlp", "short")
    few = as_table(
        arm_rows("timm", [0.90] * 3, one),
        arm_rows("pa", [0.95] * 3, one),
        arm_rows("timm", [0.80] * 3, two),
        arm_rows("pa", [0.80] * 3, two),
    )
    many = as_table(
        arm_rows("timm", [0.90] * 3, one),
        arm_rows("pa", [0.95] * 3, one),
        arm_rows("timm", [0.80] * 50, two),
        arm_rows("pa", [0.80] * 50, two),
    )
    estimates = [analyse(table, "timm").ranking[0].estimate for table in (few, many)]
    assert estimates == pytest.approx([np.log(0.5) / 2] * 2, abs=1e-12)


def test_a_cell_that_only_a_guest_has_unranks_nobody(random_table):
    table = random_table(5, failing=0.0)
    own = (table["treatment"] == "init1+pa") & (table["dataset"] == "d0")
    guest = table[own].assign(dataset="guest's own")
    extended = pd.concat([table, guest], ignore_index=True)
    assert analyse(extended, "timm").to_dict() == analyse(table, "timm").to_dict()


def test_a_declared_cell_that_a_treatment_lacks_unranks_it_with_the_reason(random_table):
    table = random_table(6, failing=0.0)
    where = (table["dataset"] == "d1") & (table["architecture"] == "a0")
    lacking = where & (table["treatment"] == "init2+pa")
    few = where & (table["treatment"] == "init3+pa") & (table["seed"] > 1)
    found = analyse(table[~lacking & ~few], "timm")
    assert [row.treatment for row in found.ranking if row.rank] == ["init1+pa"]
    assert plain(found.unranked) == [
        {
            "treatment": name,
            "reasons": [
                {
                    "dataset": "d1",
                    "architecture": "a0",
                    "recipe": "short",
                    "state": state,
                    "n_pairs": n,
                }
            ],
        }
        for name, state, n in [("init2+pa", "absent", 0), ("init3+pa", "too_few", 2)]
    ]


def test_a_declared_cell_that_nobody_ran_unranks_everybody(random_table):
    table = random_table(7, failing=0.0)
    cells = [*analyse(table, "timm").cells, ("svhn", "a0", "short")]
    found = analyse(table, "timm", cells=cells)
    assert not found.ranking
    assert {reason.state for row in found.unranked for reason in row.reasons} == {"absent"}
    assert len(found.comparisons) == 3 * 7


def test_declared_cells_leave_the_others_out(random_table):
    table = random_table(8, failing=0.0)
    found = analyse(table, "timm", cells=[("d0", "a0", "short"), ("d2", "a1", "short")])
    only = table[
        table[["dataset", "architecture"]].apply(tuple, axis=1).isin([("d0", "a0"), ("d2", "a1")])
    ]
    assert found.to_dict() == analyse(only, "timm").to_dict()
