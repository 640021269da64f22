"""What a table must look like, and what the errors tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.statistics import TableError, analyse, arrange, split_treatment, validate


@pytest.fixture
def table(arm_rows, as_table):
    return as_table(
        arm_rows("timm", [0.90, 0.91, 0.92, "diverged"]),
        arm_rows("orthogonal+pa", [0.91, 0.92, 0.93, "lost"]),
    )


def changed(table, row, **values):
    table = table.astype(object).copy()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"status": "OK"}, ["row 1", "unknown status", "'OK'", "'diverged'"]),
        ({"accuracy": None}, ["row 1", "no accuracy", "status"]),
        ({"accuracy": np.nan}, ["row 1", "no accuracy"]),
        ({"accuracy": "n/a"}, ["row 1", "no number"]),
        ({"accuracy": 91.0}, ["row 1", "outside [0, 1]", "0.943 for 94.3 %"]),
        ({"accuracy": -0.1}, ["row 1", "outside [0, 1]"]),
        ({"seed": 0}, ["row 0", "row 1", "same trial"]),
        ({"seed": 1.5}, ["row 1", "whole number"]),
        ({"seed": None}, ["row 1", "whole number"]),
        ({"n_test": 2000}, ["data set", "more than one n_test"]),
        ({"n_test": None}, ["row 1", "no valid n_test"]),
        ({"n_test": 0}, ["row 1", "no valid n_test"]),
        ({"architecture": None}, ["row 1", "no architecture"]),
    ],
)
def test_a_bad_row_is_named_with_what_to_write_instead(table, values, parts):
    with pytest.raises(TableError) as caught:
        analyse(changed(table, 1, **values), "timm")
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "mlp" in message or "architecture" in message


def test_many_bad_rows_are_counted_and_the_first_named(table):
    table["status"] = "fine"
    with pytest.raises(TableError, match=r"row 4 .* and 3 more: unknown status 'fine'"):
        validate(table)


def test_missing_columns_are_listed_with_those_there_are(table):
    with pytest.raises(TableError, match=r"lacks 'seed', 'n_test'; it has 'dataset'"):
        validate(table.drop(columns=["seed", "n_test"]))


def test_an_empty_table_is_refused(table):
    with pytest.raises(TableError, match="no rows"):
        validate(table.head(0))


def test_numbers_on_rows_that_are_not_ok_are_ignored(table):
    bad = changed(changed(table, 3, accuracy=77.0), 7, accuracy="lost")
    assert analyse(bad, "timm").to_dict() == analyse(table, "timm").to_dict()


def test_a_run_without_result_needs_no_number_of_images(table):
    without = changed(changed(table, 3, n_test=None), 7, n_test=None)
    assert analyse(without, "timm").to_dict() == analyse(table, "timm").to_dict()


def test_further_columns_and_the_callers_table_stay_as_they_are(table):
    table["note"] = [f"<b>{i}</b>" for i in range(len(table))]
    before = table.copy()
    assert list(validate(table)["note"]) == list(before["note"])
    pd.testing.assert_frame_equal(table, before)


def test_an_unknown_baseline_is_answered_with_the_nearest_name(table):
    with pytest.raises(TableError, match=r"orthogonal\+pa"):
        analyse(table, "orthogonal+ap")


def test_another_outcome_of_an_ok_run_may_not_be_missing(table):
    table["epoch1_accuracy"] = [0.3, 0.3, None, None, 0.3, 0.3, 0.3, None]
    table["n_validation"] = 500
    with pytest.raises(TableError, match=r"row 2 .* no epoch1_accuracy"):
        analyse(table, "timm", outcome="epoch1_accuracy", n_column="n_validation")
    table.loc[2, "epoch1_accuracy"] = 0.4
    found = analyse(table, "timm", outcome="epoch1_accuracy", n_column="n_validation")
    assert found.outcome == "epoch1_accuracy"
    assert found.comparisons[0].mean_difference == pytest.approx(-1 / 30, abs=1e-9)


@pytest.mark.parametrize(
    "arguments", [{"family": 0}, {"margin": 0.0}, {"target": -0.01}, {"cells": []}]
)
def test_arguments_out_of_range_are_refused(table, arguments):
    with pytest.raises(ValueError, match=r"at least 1|above 0|empty"):
        analyse(table, "timm", **arguments)


def test_a_cell_that_is_no_triple_is_refused(table):
    with pytest.raises(TableError, match="dataset, architecture, recipe"):
        analyse(table, "timm", cells=[("digits", "mlp")])


def test_seeds_may_differ_between_cells_and_be_huge(arm_rows, as_table):
    table = as_table(
        arm_rows("timm", [0.90, 0.91, 0.92]),
        arm_rows("timm", [0.80, 0.81], ("digits", "cnn", "short")),
    )
    table["seed"] = [2**40, 7, 8, 9, 2**40]
    trials = arrange(table)
    assert trials.seeds[1].tolist() == [7, 8, 2**40]
    assert trials.outcome[1, 0].tolist() == [0.91, 0.92, 0.90]
    assert trials.outcome[0, 0, :2].tolist() == [0.80, 0.81]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("orthogonal+pa", ("orthogonal", "pa")),
        ("orthogonal", ("orthogonal", "none")),
        ("orthogonal+none", ("orthogonal", "none")),
        ("he(mode=fan_out)+pa(offset=1)", ("he(mode=fan_out)", "pa(offset=1)")),
        ("best_of(orthogonal+none, k=100)+pa", ("best_of(orthogonal+none, k=100)", "pa")),
        ("best_of(orthogonal+none, k=100)", ("best_of(orthogonal+none, k=100)", "none")),
        ("best_of(orthogonal+none", ("best_of(orthogonal+none", "none")),
        ("<img src=x onerror=alert(1)>", ("<img src=x onerror=alert(1)>", "none")),
    ],
)
def test_a_treatment_is_split_at_its_last_plus_outside_parentheses(name, parts):
    assert split_treatment(name) == parts


def test_validation_images_are_those_of_a_cell_and_test_images_those_of_a_data_set(table):
    other = table.assign(recipe="long")
    early = {"epoch1_accuracy": 0.5, "n_validation": [500] * 8 + [300] * 8}
    both = pd.concat([table, other], ignore_index=True).assign(**early)
    arranged = arrange(both, "epoch1_accuracy", "n_validation")
    assert dict(zip((cell[2] for cell in arranged.cells), arranged.images, strict=True)) == {
        table["recipe"][0]: 500,
        "long": 300,
    }
    with pytest.raises(TableError, match="cell with more than one n_validation"):
        arrange(changed(both, 3, n_validation=300), "epoch1_accuracy", "n_validation")
    with pytest.raises(TableError, match="data set with more than one n_test"):
        arrange(both.assign(n_test=[1000] * 8 + [900] * 8))
