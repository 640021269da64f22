"""The reference mode against the published code's own outputs, and against its definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import benchmark

REFERENCE = Path(__file__).parents[1] / "reference" / "pa_rewiring_vectors"
CASES = json.loads(REFERENCE.with_suffix(".json").read_text(encoding="utf-8"))["cases"]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"case{case['case']}")


@pytest.fixture(scope="module")
def vectors() -> dict[str, np.ndarray]:
    with np.load(REFERENCE.with_suffix(".npz")) as archive:
        return dict(archive)


def pa_by_definition(matrix: np.ndarray, seed: int, offset: float = 1.0) -> np.ndarray:
    """Rewire as the paper's code is described: two passes, a generator made anew for each."""
    for _ in range(2):
        rng = np.random.default_rng(seed)
        rows, columns = matrix.shape
        strength = np.zeros(columns)
        result = matrix.copy()
        for t in range(1, rows):
            strength += result[t - 1]
            p = strength + np.abs(strength.min()) + offset
            drawn = rng.choice(columns, size=columns, replace=False, p=p / p.sum())
            for k, weight in enumerate(sorted(matrix[t])):
                result[t, drawn[k]] = weight
        matrix = result.T
    return matrix


def test_there_are_eight_golden_vectors(vectors: dict[str, np.ndarray]) -> None:
    assert len(CASES) == 8
    assert len(vectors) == 16


@each_case
def test_reference_mode_gives_the_published_bytes_for_arrays(
    case: dict[str, Any], vectors: dict[str, np.ndarray]
) -> None:
    given_array, expected = (vectors[f"case{case['case']}_{part}"] for part in ("input", "output"))
    before = given_array.copy()
    result = benchmark.rewire(given_array, "pa", seed=case["rewiring_seed"], mode="reference")
    assert result.dtype == expected.dtype
    assert result.shape == tuple(case["shape"])
    assert result.tobytes() == expected.tobytes()
    assert given_array.tobytes() == before.tobytes()


@each_case
def test_reference_mode_gives_the_published_bytes_for_tensors(
    case: dict[str, Any], vectors: dict[str, np.ndarray]
) -> None:
    tensor = torch.from_numpy(vectors[f"case{case['case']}_input"].copy())
    before = tensor.clone()
    result = benchmark.rewire(tensor, "pa", seed=case["rewiring_seed"], mode="reference")
    assert result.dtype == torch.float32
    assert result.numpy().tobytes() == vectors[f"case{case['case']}_output"].tobytes()
    assert torch.equal(tensor, before)


@settings(max_examples=60, deadline=None)
@given(
    matrix=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(-4, 4, allow_subnormal=False),
    ),
    seed=st.one_of(st.just(0), st.integers(0, 2**32)),
)
def test_reference_mode_follows_the_definition_for_any_matrix_and_seed(
    matrix: np.ndarray, seed: int
) -> None:
    result = benchmark.rewire(matrix, "pa", seed=seed, mode="reference")
    assert result.tobytes() == np.ascontiguousarray(pa_by_definition(matrix, seed)).tobytes()


def test_zero_is_a_seed_like_any_other() -> None:
    """The published code left seed 0 unseeded."""
    matrix = np.random.default_rng(5).normal(size=(12, 12))
    for mode in ("reference", "fast"):
        zero = benchmark.rewire(matrix, "pa", seed=0, mode=mode)
        assert (zero == benchmark.rewire(matrix, "pa", seed=0, mode=mode)).all()
        assert (zero != benchmark.rewire(matrix, "pa", seed=1, mode=mode)).any()
    expected = pa_by_definition(matrix, 0)
    assert (benchmark.rewire(matrix, "pa", seed=0, mode="reference") == expected).all()


def test_the_offset_reaches_the_reference_mode() -> None:
    matrix = np.random.default_rng(5).normal(size=(9, 11))
    result = benchmark.rewire(matrix, "pa(offset=0.01)", seed=3, mode="reference")
    assert (result == pa_by_definition(matrix, 3, offset=0.01)).all()
    assert (result != benchmark.rewire(matrix, "pa", seed=3, mode="reference")).any()
