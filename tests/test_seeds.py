"""Named seeds: independent of each other, the same everywhere, and without global state."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.seeds import derive, numpy_generator, torch_generator

seeds = st.integers(0, 2**63 - 1)
names = st.lists(st.one_of(st.text(max_size=8), st.integers()), max_size=4)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((0,), 872690540733923963),
        ((0, "weights", "stem.conv"), 1748371509275259738),
        ((1, "weights", "stem.conv"), 1498507072354383511),
        ((0, "order", 3), 4429659507030726277),
    ],
)
def test_seeds_stay_what_they_were(parts: tuple[int, ...], expected: int) -> None:
    """Committed records can be reproduced only while these values hold."""
    assert derive(*parts) == expected


@given(seed=seeds, axis=names)
def test_a_seed_fits_every_generator(seed: int, axis: list[str | int]) -> None:
    assert 0 <= derive(seed, *axis) < 2**63
    assert derive(seed, *axis) == derive(seed, *axis)


@given(a=st.tuples(seeds, names), b=st.tuples(seeds, names))
def test_other_names_or_seeds_give_other_streams(
    a: tuple[int, list[str | int]], b: tuple[int, list[str | int]]
) -> None:
    assert (derive(a[0], *a[1]) == derive(b[0], *b[1])) == (a == b)


def test_where_one_name_ends_and_the_next_begins_matters() -> None:
    assert derive(0, "ab", "c") != derive(0, "a", "bc")
    assert derive(0, "a") != derive(0, "a", "")
    assert derive(0, 1) != derive(0, "1")


def test_zero_is_a_seed_like_any_other() -> None:
    first, again = (torch.rand(4, generator=torch_generator(0, "weights")) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(4, generator=torch_generator(1, "weights")))
    assert (numpy_generator(0, "x").random(4) == numpy_generator(0, "x").random(4)).all()


def test_global_random_state_is_neither_read_nor_disturbed() -> None:
    drawn = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        drawn.append(torch.rand(2, generator=torch_generator(7, "a")).tolist())
        drawn[-1] += numpy_generator(7, "a").random(2).tolist()
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        assert before[:2] == after[:2]
        assert torch.equal(before[2], after[2])
    assert drawn[0] == drawn[1]
