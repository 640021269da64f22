"""The price tag of a grid before it runs: seconds and memory of a trial in each cell."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.trial import Cell, CellKey, Record, Trial

if TYPE_CHECKING:
    from benchmark.config import GridConfig
    from benchmark.execution.cohort_plan import CohortPlan

PROBE_STEPS = 4
LARGEST_PROBE_BATCH_ON_CPU = 32
LARGEST_TRIED_BATCH_ON_CPU = 8
MINIMUM_RECORDS = 3


@dataclass(frozen=True)
class CellPrice:
    """What a trial of a cell costs: seconds (expected, and the range they may lie in), bytes.

    `source` says where that is from: "records" of earlier trials of the cell, the mean and twice
    their standard deviation; "cohorts", steps that an earlier run has measured at the size that
    is asked for, or the fastest, with those of the fastest and slowest size; or "probe", steps of
    one trial by itself measured now, from the fastest to the slowest.
    """

    cell: CellKey
    missing: int
    seconds: float
    low: float
    high: float
    memory: int | None
    parameters: int | None
    source: str


@dataclass(frozen=True)
class Price:
    """What is still to be paid for a grid, over all cells, with so many workers of one device."""

    cells: tuple[CellPrice, ...]
    workers: int
    device: str

    @property
    def device_seconds(self) -> tuple[float, float, float]:
        """Expected, lowest and highest sum of training seconds over the missing trials."""
        return (
            sum(cell.seconds * cell.missing for cell in self.cells),
            sum(cell.low * cell.missing for cell in self.cells),
            sum(cell.high * cell.missing for cell in self.cells),
        )

    @property
    def wall_seconds(self) -> tuple[float, float, float]:
        """The same divided among the workers; starting them is not in it."""
        expected, low, high = self.device_seconds
        return expected / self.workers, low / self.workers, high / self.workers

    def to_dict(self) -> dict[str, Any]:
        """Return the price as plain data, seconds and bytes."""
        bounds = ("expected", "low", "high")
        return {
            "device": self.device,
            "workers": self.workers,
            "device_seconds": dict(zip(bounds, self.device_seconds, strict=True)),
            "wall_seconds": dict(zip(bounds, self.wall_seconds, strict=True)),
            "cells": [asdict(cell) for cell in self.cells],
        }


def price(
    config: GridConfig,
    missing: Sequence[Trial],
    records: Iterable[Record],
    measured: CohortPlan | None = None,
    on_cell: Callable[[Cell], None] = lambda cell: None,
) -> Price:
    """Price the missing trials from earlier records of their cells, else from measured steps.

    Those are of cohorts where an earlier run has `measured` them, else of one trial, made now.
    """
    import torch

    from benchmark.training.device import choose_device

    execution = config.execution
    device = choose_device(execution.device)
    if device.type == "cpu":
        torch.set_num_threads(execution.threads)
        available = len(os.sched_getaffinity(0)) // execution.threads
        workers = execution.workers or max(available, 1)
    else:
        workers = max(int(torch.cuda.device_count() / execution.gpus_per_worker), 1)
    if execution.executor == "inline":
        workers = 1
    earlier = _seconds_by_cell(records)
    size = None if execution.cohort_size == "auto" else int(execution.cohort_size)
    trials: dict[CellKey, list[Trial]] = defaultdict(list)
    for trial in missing:
        trials[trial.cell.key].append(trial)
    cells = []
    for key, members in trials.items():
        cell = members[0].cell
        on_cell(cell)
        seconds = earlier.get(key, [])
        if len(seconds) >= MINIMUM_RECORDS:
            cells.append(_from_records(key, len(members), seconds))
        elif found := measured.per_trial(cell, size) if measured else None:
            cells.append(CellPrice(key, len(members), *found, None, None, "cohorts"))
        else:
            cells.append(_from_probe(cell, len(members), device))
    return Price(tuple(cells), workers, str(device))


def try_cell(
    cell: Cell,
    device_name: str,
    steps: int = 1,
    largest_batch_on_cpu: int = LARGEST_TRIED_BATCH_ON_CPU,
) -> Any:
    """Send a batch of generated images of the right shape through a cell: the dry run.

    On a CPU the batch is cut to a few images. Raises UsageError where the cell cannot be trained.
    """
    from benchmark.training.device import choose_device
    from benchmark.training.probe import probe

    device = choose_device(device_name)
    channels, classes, _, _ = dataset_shape(cell)
    batch = cell.recipe.batch_size
    if device.type == "cpu":
        batch = min(batch, largest_batch_on_cpu)
    return probe(cell, channels, classes, device, batch_size=batch, steps=steps)


def dataset_shape(cell: Cell) -> tuple[int, int, int, int]:
    """Return channels, classes and numbers of training and test images, as the data set declares.

    The data need not be there. Raises UsageError for one whose shape depends on the user's files.
    """
    method, _ = plugins.datasets.resolve(cell.dataset)
    declared = (method.channels, method.classes, method.train_size, method.test_size)
    if None in declared:
        raise UsageError(
            f"data set {cell.dataset!r} declares no shape: a grid with it cannot be priced or"
            " tried before it has records"
        )
    return declared  # type: ignore[return-value]


def _seconds_by_cell(records: Iterable[Record]) -> dict[CellKey, list[float]]:
    found: dict[CellKey, list[float]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            key = (record.dataset, record.architecture, record.recipe)
            found[key].append(sum(record.seconds.values()))
    return found


def _from_records(key: CellKey, missing: int, seconds: list[float]) -> CellPrice:
    mean, spread = statistics.mean(seconds), 2 * statistics.stdev(seconds)
    return CellPrice(
        key, missing, mean, max(mean - spread, 0.0), mean + spread, None, None, "records"
    )


def _from_probe(cell: Cell, missing: int, device: Any) -> CellPrice:
    recipe = cell.recipe
    measured = try_cell(cell, device.type, PROBE_STEPS, LARGEST_PROBE_BATCH_ON_CPU)
    _, _, train, test = dataset_shape(cell)
    held_out = round(train * recipe.validation_fraction)
    updates = recipe.epochs * max((train - held_out) // recipe.batch_size, 1)
    scale = recipe.batch_size / measured.batch_size
    evaluated = recipe.epochs * held_out + test
    evaluation = measured.evaluation_seconds * evaluated / measured.batch_size
    # The first step also pays for allocation and lazy initialisation.
    steps = [seconds * scale for seconds in measured.step_seconds[1:]]
    return CellPrice(
        cell=cell.key,
        missing=missing,
        seconds=updates * statistics.median(steps) + evaluation,
        low=updates * min(steps) + evaluation,
        high=updates * max(steps) + evaluation,
        memory=measured.memory(recipe.batch_size),
        parameters=measured.parameters,
        source="probe",
    )
