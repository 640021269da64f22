"""What distinguishes pa's relatives from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import benchmark
from benchmark.errors import UsageError
from benchmark.strength import strength_variance

REFERENCE = Path(__file__).parents[1] / "reference" / "pa_rewiring_vectors"


def gaussian(std: float, size: int = 128) -> np.ndarray:
    return np.random.default_rng(4).normal(0, std, (size, size)).astype(np.float32)


def left(weight: np.ndarray, rewiring: str) -> tuple[float, float]:
    """Return what is left of the variances of input and of output strength."""
    before = strength_variance(weight)
    after = strength_variance(benchmark.rewire(weight, rewiring, seed=1))
    return after.inputs / before.inputs, after.outputs / before.outputs


def test_pa_reference_by_name_reproduces_the_golden_vectors() -> None:
    cases = json.loads(REFERENCE.with_suffix(".json").read_text(encoding="utf-8"))["cases"]
    with np.load(REFERENCE.with_suffix(".npz")) as vectors:
        for case in cases:
            result = benchmark.rewire(
                vectors[f"case{case['case']}_input"], "pa_reference", seed=case["rewiring_seed"]
            )
            assert result.tobytes() == vectors[f"case{case['case']}_output"].tobytes()


def test_one_sided_arms_balance_their_side_alone() -> None:
    inputs, outputs = left(gaussian(1.0), "pa_in")
    assert inputs < 0.1
    assert outputs == pytest.approx(1.0)
    inputs, outputs = left(gaussian(1.0), "pa_out")
    assert inputs == pytest.approx(1.0)
    assert outputs < 0.1


def test_pa_is_the_pass_over_inputs_and_then_over_outputs() -> None:
    weight = gaussian(0.1)
    by_hand = benchmark.rewire(weight, "pa_in", seed=6)
    both = benchmark.rewire(weight, "pa", seed=6)
    assert (np.sort(both, axis=0) == np.sort(by_hand, axis=0)).all()
    assert (both != by_hand).any()


def test_scale_free_pa_makes_the_same_moves_at_every_scale() -> None:
    weight = gaussian(1.0)
    for scale in (2.0**-10, 2.0**8):
        scaled = benchmark.rewire(weight * np.float32(scale), "pa_scalefree", seed=2)
        plain = benchmark.rewire(weight, "pa_scalefree", seed=2)
        assert (scaled == plain * np.float32(scale)).all()
    # The published code leaves about 0.01 of 256x256 Gaussians whose scale is divided out, and
    # 0.89 of those of standard deviation 0.001.
    assert np.mean(left(gaussian(0.001, 256), "pa_scalefree")) == pytest.approx(0.01, rel=0.5)
    assert np.mean(left(gaussian(0.001, 256), "pa")) == pytest.approx(0.89, rel=0.5)


def test_greedy_sorts_by_strength_and_draws_nothing() -> None:
    weight = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0], [0.0, 9.0, 1.0]])
    # Column strengths 1, 3, 2 give (6, 4, 5), then 7, 7, 7 give (0, 1, 9).
    # Transposed: rows (1 6 0), (3 4 1), (2 5 9): strengths 1, 6, 0 -> 3, 1, 4; 4, 7, 4 -> 5, 2, 9.
    expected = np.array([[1.0, 3.0, 5.0], [6.0, 1.0, 2.0], [0.0, 4.0, 9.0]])
    for seed in (0, 1):
        assert (benchmark.rewire(weight, "greedy", seed=seed) == expected).all()


def test_greedy_balances_more_and_anti_pa_unbalances() -> None:
    weight = gaussian(1.0)
    assert max(left(weight, "greedy")) < min(left(weight, "pa"))
    assert min(left(weight, "anti_pa")) > 2


@pytest.mark.parametrize("rewiring", ["pa_in", "pa_out", "pa_scalefree", "anti_pa"])
def test_the_slow_twin_leaves_the_same_variance(rewiring: str) -> None:
    factors = []
    for mode in ("fast", "reference"):
        scores = []
        for seed in range(5):
            weight = np.random.default_rng(seed).normal(0, 0.1, (64, 64))
            after = strength_variance(benchmark.rewire(weight, rewiring, seed=seed, mode=mode))
            scores.append(after.score / strength_variance(weight).score)
        factors.append(np.median(scores))
    assert factors[0] == pytest.approx(factors[1], rel=0.35)


def test_weights_that_are_not_finite_are_refused() -> None:
    weight = gaussian(1.0)
    weight[3, 4] = np.nan
    for rewiring in ("pa", "pa_reference", "pa_scalefree", "greedy"):
        with pytest.raises(UsageError, match="not finite"):
            benchmark.rewire(weight, rewiring)


def test_other_dtypes_are_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="int64; convert the weight to float32"):
        benchmark.rewire(np.ones((3, 3), np.int64), "pa")
