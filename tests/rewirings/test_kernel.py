"""The compiled kernel against the same race in plain numpy, and what its bytes depend on."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmark
from benchmark.plugins import rewirings
from benchmark.rewirings.balancing import balance

GAMMA, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def exponentials(seed: int, first: int, size: int) -> np.ndarray:
    """SplitMix64 as Steele, Lea and Flood define it, through numpy's logarithm."""
    z = np.uint64(seed) + np.arange(first, first + size, dtype=np.uint64) * np.uint64(GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    z ^= z >> np.uint64(31)
    return -np.log(((z >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


def race(matrix: np.ndarray, seed: int, offset: float, descending: bool) -> None:
    """One pass: sort the columns by E / attachment, hand out the sorted weights."""
    strength = np.zeros(matrix.shape[1])
    for t in range(1, len(matrix)):
        strength += matrix[t - 1]
        attachment = strength + abs(strength.min()) + offset
        clocks = exponentials(seed, t * len(strength), len(strength)) / attachment
        weights = np.sort(matrix[t])
        matrix[t, np.argsort(clocks)] = weights[::-1] if descending else weights


def both_ways(matrix: np.ndarray, seed: int, offset: float, descending: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    result = matrix.copy()
    race(result, int(rng.integers(2**64, dtype=np.uint64)), offset, descending)
    race(result.T, int(rng.integers(2**64, dtype=np.uint64)), offset, descending)
    return result


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 150),
    dtype=st.sampled_from([np.float32, np.float64]),
    scale=st.sampled_from([1e-3, 0.1, 1.0, 1e3]),
    kind=st.sampled_from(["normal", "heavy-tailed", "sparse", "few values", "two scales"]),
    descending=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_the_kernel_is_the_same_race_run_in_numpy(
    rows: int, columns: int, dtype: type, scale: float, kind: str, descending: bool, seed: int
) -> None:
    """Weights of every kind, so that buckets are crowded, empty and tied."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, scale, (rows, columns))
    if kind == "heavy-tailed":
        matrix = scale * rng.standard_cauchy((rows, columns))
    elif kind == "sparse":
        matrix *= rng.random((rows, columns)) < 0.05
    elif kind == "few values":
        matrix = scale * rng.integers(-1, 2, (rows, columns))
    elif kind == "two scales":
        matrix[:, columns // 20 :] *= 1e-9
    matrix = matrix.astype(dtype)
    expected = both_ways(matrix, seed, 1.0, descending)
    balance(matrix, np.random.default_rng(seed), descending=descending)
    assert (matrix == expected).all()


def test_wide_rows_come_out_as_in_numpy() -> None:
    matrix = np.random.default_rng(0).normal(0, 0.03, (40, 4608)).astype(np.float32)
    expected = both_ways(matrix, 5, 0.1, False)
    assert (benchmark.rewire(matrix, "pa(offset=0.1)", seed=5) == expected).all()


@pytest.mark.parametrize("columns", [2**16 - 1, 2**16])
def test_rows_wider_than_places_of_16_bits_come_out_as_in_numpy(columns: int) -> None:
    matrix = np.random.default_rng(0).normal(0, 0.03, (3, columns)).astype(np.float32)
    expected = matrix.copy()
    race(expected, int(np.random.default_rng(5).integers(2**64, dtype=np.uint64)), 1.0, False)
    balance(matrix, np.random.default_rng(5), outputs=False)
    assert (matrix == expected).all()


def test_keys_are_exponentials_over_attachments_to_thirteen_digits() -> None:
    """One column at a time, so that the column takes no bits of the key."""
    from benchmark.rewirings.kernels.balance import _race

    edges = np.array([2.0**-53, 1 - 2.0**-53, 0.5, np.nextafter(0.5, 0)])
    near_sqrt_half = 0.5**0.5 * (1 + np.linspace(-1e-15, 1e-15, 9))
    uniform = np.concatenate([edges, near_sqrt_half, np.random.default_rng(0).random(2000)])
    strength = np.linspace(-3.0, 5.0, len(uniform))
    keys, bucket = np.empty(len(uniform)), np.empty(1, np.uint16)
    for k in range(len(uniform)):
        _race(strength[k : k + 1], 0.5, uniform[k : k + 1].copy(), keys[k : k + 1], bucket)
    attachment = strength + np.abs(strength) + 0.5
    assert keys * attachment == pytest.approx(-np.log2(uniform), rel=1e-13)


def test_the_bytes_are_the_same_on_every_machine() -> None:
    """Inputs in eighths, exact on every machine; the hash was taken on an x86-64 with AVX-512."""
    matrix = np.random.default_rng(3).integers(-4000, 4000, (96, 130)).astype(np.float32) / 8
    digest = hashlib.sha256()
    for rewiring in ("pa", "pa_in", "pa_out", "anti_pa", "pa(offset=100)"):
        digest.update(benchmark.rewire(matrix, rewiring, seed=1).tobytes())
    assert digest.hexdigest()[:16] == "965d717e31cb80a5"


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("name", ["pa_in", "pa_out", "pa_scalefree", "greedy"])
def test_degenerate_matrices_keep_their_values(shape: tuple[int, int], name: str) -> None:
    matrix = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    before = matrix.copy()
    rewirings.get(name).function(matrix, np.random.default_rng(1))
    assert (matrix == before).all()


def test_listing_rewirings_does_not_import_numba() -> None:
    code = (
        "import sys; from benchmark.plugins import rewirings; rewirings.all();"
        " assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_code_is_compiled_once_for_all_shapes_and_layouts() -> None:
    from benchmark.rewirings.kernels.balance import balance_columns, balance_rows

    for shape in ((3, 5), (40, 7), (6, 2, 3, 3)):
        weight = np.ones(shape)
        for dtype in (np.float16, np.float32, np.float64):
            benchmark.rewire(weight.astype(dtype), "pa", seed=1)
            benchmark.rewire(weight.astype(dtype).T, "anti_pa(offset=2)", seed=1)
    read_only = np.ones((4, 4), np.float32)
    read_only.flags.writeable = False
    benchmark.rewire(read_only, "pa")
    assert len(balance_columns.signatures) <= 2
    assert len(balance_rows.signatures) <= 2
