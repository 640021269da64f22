"""The plan of cohorts: kept over resumptions, changed in the open, sized for the whole queue."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.config import load_config
from benchmark.execution.cohort_plan import CohortPlan, choose_sizes, split_end
from benchmark.grid import Cohort, even_parts, expand
from benchmark.results.lines import COHORTS
from benchmark.results.store import open_store
from benchmark.training.speed import Throughput
from tests.conftest import make_cell, make_cohort

WriteConfig = Callable[..., Path]
HALVING = {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}


def never(cohorts: Sequence[Cohort]) -> list[Throughput]:
    raise AssertionError("nothing is to be measured")


def halving(cohorts: Sequence[Cohort]) -> list[Throughput]:
    return [Throughput(HALVING) for _ in cohorts]


def test_a_plan_is_measured_and_written_once(write_config: WriteConfig, tmp_path: Path) -> None:
    trials = expand(load_config(write_config())).trials
    with open_store(str(tmp_path)) as store:
        first = CohortPlan.read(store, 1).cohorts(trials, trials, None, 1, halving)
        lines = store.read_lines(COHORTS)
        assert [len(each.trials) for each in first] == [8]
    with open_store(str(tmp_path)) as store:
        again = CohortPlan.read(store, 1).cohorts(trials, trials[5:6], None, 1, never)
        assert again == first
        assert store.read_lines(COHORTS) == lines


def test_what_another_kind_of_device_took_is_measured_anew(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    trials = expand(load_config(write_config())).trials

    def on(device: str) -> Callable[[Sequence[Cohort]], list[Throughput]]:
        seconds = {1: 2.0} if device == "slow" else HALVING
        return lambda cohorts: [Throughput(seconds, device=device) for _ in cohorts]

    with open_store(str(tmp_path)) as store:
        fast = CohortPlan.read(store, 1, ["fast"])
        (whole,) = fast.cohorts(trials, trials[:4], None, 1, on("fast"))
        CohortPlan.read(store, 1, ["other", "fast"]).cohorts(trials, trials[4:], None, 1, never)
    with open_store(str(tmp_path / "new")) as store:
        CohortPlan.read(store, 1, ["fast"]).cohorts(trials, trials[:4], None, 1, on("fast"))
        slow = CohortPlan.read(store, 1, ["slow"])
        assert slow.seconds(whole) is None
        assert len(slow.cohorts(trials, trials[4:], None, 1, on("slow"))) == 4
        assert CohortPlan.read(store, 1, ["slow"]).seconds(whole) == 8.0
        assert CohortPlan.read(store, 1, ["fast"]).seconds(whole) == 8.0


def test_a_wider_grid_plans_its_new_trials_beside_the_old(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    trials = expand(load_config(write_config())).trials
    wider = expand(load_config(write_config(("seeds: 2", "seeds: 4")))).trials
    with open_store(str(tmp_path)) as store:
        (old,) = CohortPlan.read(store, 1).cohorts(trials, trials, 8, 1, never)
        cohorts = CohortPlan.read(store, 1).cohorts(wider, wider, 5, 1, never)
    assert old in cohorts
    assert sorted(len(each.trials) for each in cohorts) == [4, 4, 8]
    assert {trial for each in cohorts for trial in each.trials} == set(wider)


def test_other_threads_and_a_narrower_grid_change_the_plan_in_the_open(
    write_config: WriteConfig, tmp_path: Path
) -> None:
    trials = expand(load_config(write_config())).trials
    with open_store(str(tmp_path)) as store:
        first = CohortPlan.read(store, 1).cohorts(trials, trials, 8, 1, never)
        assert CohortPlan.read(store, 2).cohorts(trials, trials, 8, 1, never) == first
        assert store.read_lines(COHORTS)[-1]["changed"] == "planned for 1 threads"
        assert store.read_lines(COHORTS)[-1]["threads"] == 2
        part = trials[:4]
        (narrow,) = CohortPlan.read(store, 2).cohorts(part, part, 8, 1, never)
        assert narrow.trials == part


@pytest.mark.parametrize(
    ("count", "workers", "size"), [(8, 1, 8), (16, 2, 8), (8, 2, 4), (8, 8, 1), (80, 2, 8)]
)
def test_cohorts_are_as_large_as_leaves_no_worker_idle(count: int, workers: int, size: int) -> None:
    # Without any gain from 4 on, so that half a queue each beats one worker's whole queue.
    seconds = {1: 4.0, 2: 3.0, 4: 2.1, 8: 2.0}
    cell = make_cell()
    assert choose_sizes({cell: [count]}, {cell: seconds}, workers) == {cell: size}


def waited(cohorts: Sequence[Cohort], workers: int, rng: np.random.Generator) -> float:
    """Return how long workers are idle at the end, if cohorts take what they take give or take."""
    loads = [0.0] * workers
    for cohort in sorted(cohorts, key=lambda each: len(each.trials), reverse=True):
        taken = len(cohort.trials) * rng.uniform(0.9, 1.1)
        heapq.heapreplace(loads, loads[0] + taken)
    return sum(max(loads) - load for load in loads) / sum(loads)


def test_workers_end_together_though_cohorts_take_other_times_than_measured() -> None:
    whole = [make_cohort(*(("timm", 30 * i + j) for j in range(30))) for i in range(11)]
    parts = split_end(whole, lambda cohort: float(len(cohort.trials)), 2)
    assert {trial for each in parts for trial in each.trials} == {
        t for c in whole for t in c.trials
    }
    assert sum(len(each.trials) for each in parts) == 330
    assert [len(each.trials) for each in parts if len(each.trials) > 5] == [30] * 9
    idle = [
        np.mean([waited(each, 2, np.random.default_rng(seed)) for seed in range(100)])
        for each in (whole, parts)
    ]
    assert idle[1] < 0.01 < 0.05 < idle[0]


def test_cohorts_stay_whole_where_halves_take_clearly_longer_or_nothing_is_gained() -> None:
    whole = [make_cohort(*(("timm", 8 * i + j) for j in range(8))) for i in range(4)]
    assert set(split_end(whole, lambda cohort: 5.0 + len(cohort.trials), 2)) == set(whole)
    single = [make_cohort(("timm", seed)) for seed in range(3)]
    assert set(split_end(single, lambda cohort: 1.0, 2)) == set(single)


def test_what_splitting_costs_is_counted_from_the_whole() -> None:
    whole = [make_cohort(*(("timm", 32 * i + j) for j in range(32))) for i in range(2)]

    def cost(cohort: Cohort) -> float:
        """Four percent more a trial with every halving."""
        size = len(cohort.trials)
        return size * 1.04 ** (5 - np.log2(size))

    parts = split_end(whole, cost, 2)
    assert [len(each.trials) for each in parts] == [16] * 4
    assert sum(map(cost, parts)) <= 1.05 * sum(map(cost, whole))


def test_a_cell_that_is_slower_stacked_stays_one_by_one() -> None:
    cell = make_cell()
    assert choose_sizes({cell: [100]}, {cell: {1: 1.0, 2: 1.01}}, 2) == {cell: 1}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 33))
def test_parts_are_even_whole_and_in_order(count: int, size: int) -> None:
    parts = list(even_parts(range(count), size))
    assert [each for part in parts for each in part] == list(range(count))
    lengths = {len(part) for part in parts}
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
