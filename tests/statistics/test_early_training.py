"""Early training: censored races to the target, and the analysis of other accuracies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from benchmark.statistics import TableError, analyse, early_training, epochs_to_target

NEVER = None


@pytest.fixture
def race(arm_rows, as_table):
    """A table of two arms from their epochs; a word is the status of a run that is not ok."""

    def make(treatment, baseline, cells=(("digits", "mlp", "short"),)):
        rows, epochs = [], []
        for cell in cells:
            for name, arm in (("timm", baseline), ("he+pa", treatment)):
                rows.append(arm_rows(name, [e if isinstance(e, str) else 0.9 for e in arm], cell))
                epochs += [3 if isinstance(e, str) else e for e in arm]
        return as_table(*rows).assign(epochs_to_target=epochs)

    return make


def test_who_is_first_is_counted_pair_by_pair_and_the_censored_are_not_dropped(race):
    table = race(
        [2, 5, 4, 9, NEVER, NEVER, 6, "diverged", "lost"],
        [4, 5, 8, 3, 7, NEVER, NEVER, 9, 2],
    )
    found = epochs_to_target(table, "timm")[0]
    overall = found.overall
    # First: seeds 0, 2, 6 (baseline never). Second: 3, 4 (never), 7 (diverged). Ties: 1, 5.
    assert (overall.first_treatment, overall.first_baseline, overall.ties) == (3, 3, 2)
    assert (overall.n_pairs, overall.reached_treatment, overall.reached_baseline) == (8, 5, 6)
    assert overall.n_both_reached == 4
    assert overall.median_ratio == np.median([2 / 4, 5 / 5, 4 / 8, 9 / 3])
    assert overall.p == 1.0
    assert found.per_cell == (overall,)


def test_a_diverged_run_never_reached_the_target_whatever_its_column_says(race):
    both = epochs_to_target(race(["diverged"] * 3, ["diverged"] * 3), "timm")[0].overall
    assert (both.ties, both.reached_treatment, both.n_both_reached) == (3, 0, 0)
    assert both.median_ratio is None


def test_the_sign_test_is_exact_and_pays_for_its_family(race):
    table = race([1] * 9 + [5], [2] * 9 + [3])
    found = epochs_to_target(table, "timm", family=2)[0]
    p = scipy.stats.binomtest(9, 10).pvalue
    assert found.overall.p == pytest.approx(p, rel=1e-12)
    assert found.p_family == pytest.approx(2 * p, rel=1e-12)
    assert found.verdict == "faster"
    swapped = epochs_to_target(table, "he+pa", family=2)[0]
    assert (swapped.verdict, swapped.overall.p) == ("slower", found.overall.p)
    assert epochs_to_target(table, "timm", family=20)[0].verdict == "no difference shown"


def test_no_verdict_for_a_treatment_that_skipped_a_cell(race):
    cells = (("digits", "mlp", "short"), ("fashion", "mlp", "short"))
    table = race([1] * 9, [2] * 9, cells)
    skipped = table[(table["treatment"] == "timm") | (table["dataset"] == "digits")]
    found = epochs_to_target(skipped, "timm")[0]
    assert found.lacking == (cells[1],)
    assert (found.verdict, found.overall.n_pairs) == (None, 9)
    assert [each.n_pairs for each in found.per_cell] == [9, 0]
    assert epochs_to_target(table, "timm")[0].verdict == "faster"


@pytest.mark.parametrize("epoch", [0, -1, np.inf])
def test_epochs_that_are_none_are_refused(race, epoch):
    with pytest.raises(TableError, match="leave the field empty"):
        epochs_to_target(race([1, 2, epoch], [1, 2, 3]), "timm")


def test_text_among_the_epochs_is_refused_with_its_row(race):
    table = race([1, 2, 3], [1, 2, 3])
    table["epochs_to_target"] = table["epochs_to_target"].astype(object)
    table.loc[4, "epochs_to_target"] = "never"
    with pytest.raises(TableError, match=r"row 4 .* epochs_to_target that is no number"):
        epochs_to_target(table, "timm")


def test_the_three_measures_come_together_and_a_missing_column_is_none(race):
    table = race([1, 2, 3, 3], [2, 4, 4, 5]).assign(
        epoch1_accuracy=[0.30, 0.31, 0.32, 0.35, 0.40, 0.42, 0.41, 0.44], n_validation=1000
    )
    found = early_training(table, "timm", family=5)
    assert found.area is None
    assert found.epoch1 is not None
    assert (
        found.epoch1.to_dict()
        == analyse(table, "timm", 5, outcome="epoch1_accuracy", n_column="n_validation").to_dict()
    )
    assert found.epoch1.ranking[0].estimate == pytest.approx(
        np.mean(np.log([0.60 / 0.70, 0.58 / 0.69, 0.59 / 0.68, 0.56 / 0.65])), abs=1e-12
    )
    with_area = table.assign(area_under_validation_curve=table["epoch1_accuracy"] + 0.1)
    again = early_training(with_area, "timm", family=5)
    assert (again.epoch1, again.epochs) == (found.epoch1, found.epochs)
    assert again.area == analyse(
        with_area, "timm", 5, outcome="area_under_validation_curve", n_column="n_validation"
    )
    assert found.epochs is not None
    assert found.epochs[0].overall.first_treatment == 4
    plain = found.to_dict()
    assert plain["area"] is None
    assert plain["epochs"][0]["overall"]["ties"] == 0


def test_a_run_without_area_is_refused_with_its_row(race):
    table = race([1, 2, 3], [2, 4, 4]).assign(
        epoch1_accuracy=0.5, n_validation=100, area_under_validation_curve=[0.5] * 5 + [50.0]
    )
    with pytest.raises(TableError, match=r"row 5 .* area_under_validation_curve outside"):
        early_training(table, "timm")
    table.loc[2, "area_under_validation_curve"] = np.nan
    with pytest.raises(TableError, match=r"row 2 .* no area_under_validation_curve"):
        early_training(table, "timm")


def test_the_resolution_of_early_measures_is_that_of_the_validation_set(race):
    table = race([1, 2, 3], [2, 4, 4]).assign(
        epoch1_accuracy=[0.3, 0.4, 0.5, 0.4, 0.5, 0.6], n_validation=100
    )
    row = early_training(table, "timm").epoch1.comparisons[0]
    assert row.floored
    assert row.sd_difference == pytest.approx(0.01 / np.sqrt(6), rel=1e-12)
