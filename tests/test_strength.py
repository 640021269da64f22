"""Neuronal strength: closed forms, and the values of the published code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.strength import StrengthVariance, strength_variance

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
