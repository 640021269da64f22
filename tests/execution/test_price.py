"""The price tag: from earlier records where there are some, else from measured steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.config import load_config
from benchmark.errors import UsageError
from benchmark.execution.cohort_plan import CohortPlan
from benchmark.execution.price import dataset_shape, price, try_cell
from benchmark.grid import expand
from benchmark.results.store import open_store
from benchmark.training.probe import probe
from benchmark.training.speed import Throughput
from benchmark.trial import Record
from tests.conftest import make_cell

WriteConfig = Callable[..., Path]


def test_records_give_mean_and_twice_their_deviation(write_config: WriteConfig) -> None:
    grid = expand(load_config(write_config(), ["execution.workers=4"]))
    records = [
        Record.of(trial, "ok", seconds={"training": seconds, "rewiring": 1.0})
        for trial, seconds in zip(grid.trials[:3], (1.0, 2.0, 3.0), strict=True)
    ]
    records.append(Record.of(grid.trials[3], "lost", seconds={"training": 1e9}))
    found = price(grid.config, grid.trials[3:], records)
    (cell,) = found.cells
    assert (cell.source, cell.missing) == ("records", 5)
    assert (cell.seconds, cell.low, cell.high) == (3.0, 1.0, 5.0)
    assert found.device_seconds == (15.0, 5.0, 25.0)
    assert found.wall_seconds == (3.75, 1.25, 6.25)


@pytest.mark.parametrize(("size", "expected"), [("auto", 1.0), ("1", 8.0), ("6", 1.75)])
def test_what_a_run_has_measured_of_cohorts_is_the_price_before_there_are_records(
    write_config: WriteConfig, tmp_path: Path, size: str, expected: float
) -> None:
    overrides = ["execution.workers=2", f"execution.cohort_size={size}"]
    grid = expand(load_config(write_config(), overrides))
    with open_store(str(tmp_path / "out")) as store:
        plan = CohortPlan.read(store, 1)
        found = Throughput({1: 8.0, 4: 2.5, 8: 1.0})
        plan.cohorts(grid.trials, grid.trials, None, 2, lambda cohorts: [found for _ in cohorts])
        again = CohortPlan.read(store, 1)
    paid = price(grid.config, grid.trials, [], again)
    (cell,) = paid.cells
    assert (cell.source, cell.seconds, cell.low, cell.high) == ("cohorts", expected, 1.0, 8.0)
    assert paid.wall_seconds[0] == 4 * expected


def test_measured_steps_scale_with_epochs_and_images(write_config: WriteConfig) -> None:
    prices = []
    for epochs in (1, 100):
        grid = expand(load_config(write_config(("epochs: 2", f"epochs: {epochs}"))))
        (cell,) = price(grid.config, grid.trials, []).cells
        assert cell.source == "probe"
        assert 0 < cell.low <= cell.seconds <= cell.high
        prices.append(cell.seconds)
    assert 5 < prices[1] / prices[0] < 1000


def test_memory_is_that_of_weights_gradients_optimizer_and_activations() -> None:
    device = torch.device("cpu")
    small, large = (
        probe(make_cell(optimizer="adamw"), 1, 10, device, batch_size=batch, steps=1)
        for batch in (2, 64)
    )
    # Weights, gradients, two moments of each weight, and some counters.
    assert 16 * small.parameters <= small.state_memory < 16.1 * small.parameters + 100
    assert large.state_memory == small.state_memory
    # The first layer's output alone: 4 channels of 8 x 8 pixels, 4 bytes each.
    assert large.batch_memory - small.batch_memory > 62 * 4 * 8 * 8 * 4
    assert small.memory(64) == pytest.approx(large.memory(64), rel=0.1)


def test_a_probe_leaves_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    probe(make_cell(), 1, 10, torch.device("cpu"), batch_size=2, steps=2)
    assert torch.equal(before, torch.get_rng_state())


def test_a_data_set_whose_shape_is_not_declared_cannot_be_tried() -> None:
    with pytest.raises(UsageError, match="image_folder"):
        dataset_shape(replace(make_cell(), dataset="image_folder"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_mnist", "paper", "imagenet"])
def test_shipped_configs_take_a_generated_batch_in_every_architecture(name: str) -> None:
    path = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    grid = expand(load_config(path))
    datasets = {cell.dataset for cell in grid.cells}
    for cell in [cell for cell in grid.cells if cell.dataset == min(datasets)]:
        assert try_cell(cell, "cpu").batch_size == 8
