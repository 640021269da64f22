"""Every number of the worked cases, and every null and word exactly."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from benchmark.statistics import analyse, arrange

NAMES = ["one_cell", "twelve_seeds", "grid_3x2", "grid_4x3"]
PARTS = ["arms", "comparisons", "failures", "ranking", "unranked", "variance"]


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two JSON values differ: numbers beyond rtol 1e-8 and atol 1e-12, all else exactly."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if list(found) != list(expected):
            return [f"{where}: keys {list(found)} instead of {list(expected)}"]
        return [
            each for k in expected for each in differences(found[k], expected[k], f"{where}/{k}")
        ]
    if isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            return [f"{where}: {len(found)} items instead of {len(expected)}"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [each for i, (f, e) in pairs for each in differences(f, e, f"{where}/{i}")]
    if type(found) is float and type(expected) is float:
        same = math.isclose(found, expected, rel_tol=1e-8, abs_tol=1e-12)
    else:
        same = type(found) is type(expected) and found == expected
    return [] if same else [f"{where}: {found!r} instead of {expected!r}"]


def analysed(case: dict[str, Any]) -> dict[str, Any]:
    return analyse(
        case["table"], case["baseline"], case["family"], case["margin"], case["target"]
    ).to_dict()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_the_worked_case_comes_out(cases, name, part):
    assert differences(analysed(cases[name])[part], cases[name]["expected"][part]) == []


def test_the_result_has_the_expected_keys_in_order_and_is_strict_json(cases):
    for case in cases.values():
        found = analysed(case)
        assert list(found) == list(case["expected"]) == PARTS
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_comparison_of_results_notices_a_wrong_number_a_null_and_a_type():
    assert differences({"p": 0.5}, {"p": 0.5 + 1e-7})
    assert differences({"p": 0.5}, {"p": None})
    assert differences({"df": 4.0}, {"df": 4})
    assert differences({"a": 1, "b": 2}, {"b": 2, "a": 1})


def test_an_arranged_table_gives_the_same_as_the_table_itself(cases):
    case = cases["grid_4x3"]
    arranged = analyse(arrange(case["table"]), case["baseline"], case["family"])
    assert arranged.to_dict() == analysed(case)


def test_family_defaults_to_the_treatments_less_the_baseline(cases):
    case = cases["twelve_seeds"]
    found = analyse(case["table"], case["baseline"])
    assert found.family == 4
    assert all(row.p_family == min(1.0, 4 * row.p) for row in found.ranking)
