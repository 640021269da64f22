"""Measuring cohort sizes: never past the cohort, the memory or what can be stacked."""

from __future__ import annotations

import pytest
import torch

from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.training import throughput
from benchmark.training.network import Stack
from tests.conftest import make_cell, make_cohort

FIVE = make_cohort(*(("timm", seed) for seed in range(5)))


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(Settings(device="cpu"))


def test_sizes_up_to_the_cohorts_own_are_measured(worker: Worker) -> None:
    state = torch.get_rng_state()
    found = worker.measure(FIVE)
    assert list(found.seconds) == [1, 4]
    assert all(seconds > 0 for seconds in found.seconds.values())
    assert found.why == ""
    assert torch.equal(torch.get_rng_state(), state)


def test_a_size_of_two_is_measured_where_four_cannot_be(worker: Worker) -> None:
    assert list(worker.measure(make_cohort(("timm", 0), ("timm", 1), ("timm", 2))).seconds) == [
        1,
        2,
    ]


def test_sizes_that_would_hardly_gain_are_not_tried(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doubling that gained 5 % is followed by one of 2.6 %, one of 6.25 % by 3.3 %."""
    step_seconds = {1: 1.0, 4: 4.0}
    monkeypatch.setattr(
        throughput, "_step_seconds", lambda network, *rest: step_seconds[len(network.courses)]
    )
    many = make_cohort(*(("timm", seed) for seed in range(16)))
    step_seconds |= {8: 7.6, 16: 1.0}
    assert list(worker.measure(many).seconds) == [1, 4, 8]
    step_seconds |= {8: 7.5, 16: 14.0}
    assert list(worker.measure(many).seconds) == [1, 4, 8, 16]


def test_a_size_that_makes_up_for_what_stacking_costs_goes_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_seconds = {1: 1.0, 4: 4.8, 8: 8.0, 16: 14.4}
    monkeypatch.setattr(
        throughput, "_step_seconds", lambda network, *rest: step_seconds[len(network.courses)]
    )
    many = make_cohort(*(("timm", seed) for seed in range(16)))
    assert list(worker.measure(many).seconds) == [1, 4, 8, 16]


def test_memory_bounds_the_size(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SHARE_OF_FREE_MEMORY", 0.0)
    assert list(worker.measure(FIVE).seconds) == [1]


def test_running_out_of_memory_ends_the_measurement(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Stack.step

    def step(self: Stack, images: torch.Tensor, labels: torch.Tensor) -> None:
        if len(self.courses) == 4:
            raise torch.OutOfMemoryError("full")
        original(self, images, labels)

    monkeypatch.setattr(Stack, "step", step)
    found = worker.measure(FIVE)
    assert (list(found.seconds), found.why) == ([1], "")


def test_what_cannot_be_stacked_is_measured_alone_and_says_why(worker: Worker) -> None:
    cell = make_cell(optimizer="lamb")
    found = worker.measure(make_cohort(("timm", 0), ("timm", 1), cell=cell))
    assert list(found.seconds) == [1]
    assert found.why.startswith("the optimizer lamb looks at all of a weight")
