"""Neuronal strength: closed forms, and the values of the published code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.strength import StrengthVariance, layer_statistics, strength_variance

REFERENCE = Path(__file__).parent / "reference" / "pa_rewiring_vectors"
CASES = json.loads(REFERENCE.with_suffix(".json").read_text(encoding="utf-8"))["cases"]


def test_strengths_are_signed_sums_with_unbiased_variances() -> None:
    """Column sums 1, -1, 3 have variance 4; row sums 6 and -3 have variance 40.5."""
    found = strength_variance(np.array([[1.0, 2.0, 3.0], [0.0, -3.0, 0.0]]))
    assert found == StrengthVariance(inputs=4.0, outputs=40.5)
    assert found.score == 22.25


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"case{case['case']}")
@pytest.mark.parametrize(("part", "when"), [("input", "before"), ("output", "after")])
def test_variances_are_those_of_the_published_code(
    case: dict[str, Any], part: str, when: str
) -> None:
    with np.load(REFERENCE.with_suffix(".npz")) as vectors:
        weight = vectors[f"case{case['case']}_{part}"]
    found = strength_variance(weight.reshape(len(weight), -1))
    assert found.inputs == pytest.approx(case[f"var_in_{when}"], rel=1e-5)
    assert found.outputs == pytest.approx(case[f"var_out_{when}"], rel=1e-5)


def test_a_side_with_one_neuron_has_no_variance_and_the_score_is_the_other_side() -> None:
    row = strength_variance(np.array([[1.0, 3.0]]))
    assert (row.inputs, row.score) == (2.0, 2.0)
    assert math.isnan(row.outputs)
    column = strength_variance(np.array([[1.0], [3.0]]))
    assert (column.outputs, column.score) == (2.0, 2.0)
    assert math.isnan(column.inputs)
    assert math.isnan(strength_variance(np.array([[1.0]])).score)


def test_sums_are_made_in_float64() -> None:
    """In float32, 2^24 + 1 is 2^24 and the columns would not differ."""
    matrix = np.array([[2.0**24, 2.0**24], [1.0, 0.0]], np.float32)
    assert strength_variance(matrix).inputs == 0.5


def test_singular_values_rank_and_gain_are_those_of_the_matrix() -> None:
    """diag(3, 4) beside a column of zeros, by hand."""
    found = layer_statistics(np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))
    assert (found.singular_min, found.singular_max) == pytest.approx((3.0, 4.0))
    assert found.rank_share == 1.0
    assert found.gain == pytest.approx(math.sqrt(3 * 25 / 6))


@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (30, 30)])
def test_singular_values_agree_with_a_decomposition(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape)
    exact = np.linalg.svd(matrix, compute_uv=False)
    found = layer_statistics(matrix)
    assert (found.singular_max, found.singular_min) == pytest.approx((exact[0], exact[-1]))


def test_half_the_rank_is_missing_where_rows_are_mirrored() -> None:
    half = np.random.default_rng(1).normal(size=(20, 64)).astype(np.float32)
    found = layer_statistics(np.concatenate([half, -half]))
    assert found.rank_share == 0.5
    assert found.duplicate_rows == 0.0


def test_rows_of_zeros_and_repeated_rows_are_counted_apart() -> None:
    matrix = np.random.default_rng(2).normal(size=(8, 30)).astype(np.float32)
    matrix[1] = matrix[4] = matrix[6]
    matrix[[0, 7]] = 0.0
    found = layer_statistics(matrix)
    assert (found.zero_rows, found.duplicate_rows) == (2 / 8, 2 / 8)


def test_filters_of_a_depthwise_convolution_may_be_alike() -> None:
    """Each sees a channel of its own: nothing is repeated, and each group has its full rank."""
    found = layer_statistics(np.tile([[0.0, 1.0, 0.0]], (6, 1)), groups=6)
    assert (found.duplicate_rows, found.rank_share) == (0.0, 1.0)
    alike = layer_statistics(np.tile([[0.0, 1.0, 0.0]], (6, 1)), groups=1)
    assert (alike.duplicate_rows, alike.rank_share) == (5 / 6, 1 / 3)


def test_independent_weights_have_the_expected_strength_variance() -> None:
    rng = np.random.default_rng(3)
    ratios = [
        layer_statistics(rng.normal(0.0, 0.3, size=(120, 80))).strength_ratio for _ in range(60)
    ]
    # A variance of 120 sums has a relative standard error of sqrt(2/119); 60 draws, two sides.
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 79 / 60))


def test_kurtosis_is_the_excess_over_a_normal_distribution() -> None:
    rng = np.random.default_rng(4)
    assert layer_statistics(rng.uniform(size=(300, 300))).kurtosis == pytest.approx(-1.2, abs=0.02)
    assert abs(layer_statistics(rng.normal(size=(300, 300))).kurtosis) < 4 * math.sqrt(24 / 9e4)
    assert math.isnan(layer_statistics(np.ones((3, 3))).kurtosis)


def test_a_quick_look_finds_the_same_rank_without_singular_values() -> None:
    rng = np.random.default_rng(5)
    full = rng.normal(size=(24, 40))
    nearly = full.copy()
    nearly[1] = nearly[0] + 1e-5 * nearly[1]
    alike = full.copy()
    alike[1] = alike[0]
    for matrix, looked in ((full, False), (full.T, False), (nearly, True), (alike, True)):
        quick, whole = (layer_statistics(matrix, complete=each) for each in (False, True))
        assert quick.rank_share == whole.rank_share
        assert math.isnan(quick.singular_min) is not looked
    assert layer_statistics(np.zeros((3, 4)), complete=False).rank_share == 0.0
    grouped = np.concatenate([full, 1e-7 * full])
    assert layer_statistics(grouped, 2, complete=False).rank_share < 1.0
