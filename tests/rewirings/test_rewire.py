"""`benchmark.rewire`: what it takes, what it gives back, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import benchmark
from benchmark import plugins
from benchmark.errors import UsageError
from tests.random_state import global_state_kept, seed_globals

BUILT_IN = (
    *("none", "shuffle", "pa", "pa_reference", "pa_in", "pa_out"),
    *("pa_scalefree", "greedy", "anti_pa"),
)
each_mode = pytest.mark.parametrize("mode", ["fast", "reference"])


def normal(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(11).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("rewiring", BUILT_IN)
@settings(max_examples=40, deadline=None)
@given(
    weight=arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=2, max_dims=4, max_side=6)
    ).filter(lambda weight: np.isfinite(weight).all() and np.abs(weight).max() < 1e30),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_permutation_keeps_the_multiset_of_values(
    rewiring: str, weight: np.ndarray, seed: int
) -> None:
    assert plugins.rewirings.get(rewiring).permutes
    before = weight.copy()
    result = benchmark.rewire(weight, rewiring, seed=seed)
    assert (np.sort(result, axis=None) == np.sort(weight, axis=None)).all()
    assert result.dtype == weight.dtype
    assert result.shape == weight.shape
    assert weight.tobytes() == before.tobytes()


@pytest.mark.parametrize("rewiring", ["pa", "shuffle"])
@pytest.mark.parametrize("shape", [(7, 5), (6, 2, 3, 3), (4, 3, 5)])
def test_a_rewiring_moves_values_and_another_seed_moves_them_elsewhere(
    rewiring: str, shape: tuple[int, ...]
) -> None:
    weight = normal(*shape)
    first, again, other = (benchmark.rewire(weight, rewiring, seed=s) for s in (4, 4, 5))
    assert (first == again).all()
    assert (first != weight).any()
    assert (first != other).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@each_mode
def test_a_tensor_keeps_its_dtype_and_is_rewired_as_its_exact_values(
    dtype: torch.dtype, mode: str
) -> None:
    weight = torch.from_numpy(normal(10, 6, dtype=np.float64)).to(dtype)
    result = benchmark.rewire(weight, "pa", seed=2, mode=mode)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    expected = benchmark.rewire(weight.to(wide).numpy(), "pa", seed=2, mode=mode)
    assert result.dtype == dtype
    assert torch.equal(result.to(wide), torch.from_numpy(expected))
    assert not torch.equal(result, weight)


def test_float64_values_are_not_rounded() -> None:
    weight = normal(8, 8, dtype=np.float64)
    for result in (
        benchmark.rewire(weight, "pa"),
        benchmark.rewire(torch.from_numpy(weight), "pa").numpy(),
    ):
        assert result.dtype == np.float64
        assert (np.sort(result, axis=None) == np.sort(weight, axis=None)).all()


@each_mode
@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[::2, 1::2],
        lambda array: array.T,
        lambda array: array[:, ::-1],
        np.asfortranarray,
    ],
    ids=["strided", "transposed", "reversed", "fortran"],
)
def test_an_array_that_is_not_contiguous_is_rewired_as_its_values(view, mode: str) -> None:
    base = normal(12, 14)
    array = view(base)
    before = base.copy()
    expected = benchmark.rewire(np.ascontiguousarray(array), "pa", seed=9, mode=mode)
    assert (benchmark.rewire(array, "pa", seed=9, mode=mode) == expected).all()
    assert (base == before).all()


@pytest.mark.parametrize("rewiring", ["pa", "shuffle"])
def test_a_tensor_that_is_not_contiguous_is_rewired_as_its_values(rewiring: str) -> None:
    weight = torch.from_numpy(normal(6, 4, 3, 3))
    expected = benchmark.rewire(weight, rewiring, seed=1)
    last = weight.to(memory_format=torch.channels_last)
    assert torch.equal(benchmark.rewire(last, rewiring, seed=1), expected)
    flat = torch.from_numpy(normal(10, 8))
    expected = benchmark.rewire(flat.T.contiguous(), rewiring, seed=1)
    assert torch.equal(benchmark.rewire(flat.T, rewiring, seed=1), expected)


def test_a_parameter_with_a_gradient_gives_a_tensor_of_its_own() -> None:
    parameter = torch.nn.Parameter(torch.from_numpy(normal(5, 5)))
    before = parameter.detach().clone()
    result = benchmark.rewire(parameter, "pa")
    result.zero_()
    assert not result.requires_grad
    assert torch.equal(parameter, before)


@each_mode
@pytest.mark.parametrize(
    "weight", [np.ones(4, np.float32), torch.ones(4), np.float32(1).reshape(()), torch.tensor(1.0)]
)
def test_a_rank_below_two_is_refused(weight, mode: str) -> None:
    with pytest.raises(UsageError, match=f"rank {weight.ndim}"):
        benchmark.rewire(weight, "pa", mode=mode)


def test_unknown_names_modes_and_parameters_are_refused_with_the_remedy() -> None:
    weight = normal(3, 3)
    with pytest.raises(UsageError, match="unknown rewiring 'shufle'; did you mean 'shuffle'"):
        benchmark.rewire(weight, "shufle")
    with pytest.raises(UsageError, match="'refrence'.*'fast' or 'reference'"):
        benchmark.rewire(weight, "pa", mode="refrence")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean 'offset'"):
        benchmark.rewire(weight, "pa(offest=2)")
    with pytest.raises(UsageError, match="'shuffle' has no reference mode"):
        benchmark.rewire(weight, "shuffle", mode="reference")


@each_mode
@pytest.mark.parametrize("offset", ["0", "-1", "nan", "inf", "-inf"])
def test_an_offset_that_is_not_positive_and_finite_is_refused(offset: str, mode: str) -> None:
    with pytest.raises(UsageError, match="should be greater than 0|takes a finite number"):
        benchmark.rewire(normal(3, 3), f"pa(offset={offset})", mode=mode)


@pytest.mark.parametrize("rewiring", BUILT_IN)
def test_rewiring_neither_reads_nor_disturbs_global_random_state(rewiring: str) -> None:
    results = []
    for seed in (1, 2):
        seed_globals(seed)
        with global_state_kept():
            results.append(benchmark.rewire(normal(6, 6), rewiring, seed=3))
    assert (results[0] == results[1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_on_a_gpu_stays_there_and_gets_the_same_values() -> None:
    weight = torch.from_numpy(normal(20, 30))
    result = benchmark.rewire(weight.cuda(), "pa", seed=1)
    assert result.device.type == "cuda"
    assert torch.equal(result.cpu(), benchmark.rewire(weight, "pa", seed=1))
