"""Trials that take no time, for measuring everything beside training: grids, records, a worker."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.axes import MAX_SEEDS
from benchmark.config import load_config
from benchmark.execution.jobs import Outcome, Settings
from benchmark.execution.ray_pool import WorkerActor
from benchmark.grid import Cohort, Grid, expand
from benchmark.trial import Cell, Record, Trial

if TYPE_CHECKING:
    from benchmark.training.speed import Throughput

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
EPOCHS, LAYERS = 10, 12
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def grid_of(trials: int, cohort_size: int | str, minutes: float = 1.0) -> Grid:
    """Return the quickstart's grid with as many seeds as give about so many trials.

    Beyond the most seeds that a grid may have, with other architectures, and as many as it takes.
    `minutes` is a trial's time limit, which would be measured if there were none.
    """
    per_seed = len(expand(load_config(CONFIG, ["grid.seeds=1"])).trials)
    seeds, axes = max(round(trials / per_seed), 1), []
    if seeds > MAX_SEEDS:
        treatments = len(expand(load_config(CONFIG, ["grid.seeds=1"])).treatments)
        count = -(-trials // (treatments * MAX_SEEDS))
        names = [f'"plain_cnn(depth=1, widths=[4, {width + 1}])"' for width in range(count)]
        seeds, axes = trials // (treatments * count), [f"grid.architectures=[{', '.join(names)}]"]
    return expand(
        load_config(
            CONFIG,
            [
                *axes,
                f"grid.seeds={seeds}",
                f"execution.cohort_size={cohort_size}",
                f"execution.time_limit_minutes={minutes}",
            ],
        )
    )


def record_of(trial: Trial, seconds: float = 0.0) -> Record:
    """Return a record of the size that ten epochs of a small network leave."""
    values: list[float | None] = [0.1234567890123456] * EPOCHS
    layer = {"shape": [64, 64, 3, 3], "before": values[:2], "after": values[:2]}
    return Record.of(
        trial,
        "ok",
        accuracy=0.9,
        n_test=359,
        epoch1_accuracy=0.5,
        n_validation=143,
        area_under_validation_curve=0.8,
        test_loss=0.1234567890123456,
        curves=dict.fromkeys((*CURVES, "learning_rate", "seconds"), values),
        strength={
            "before": 1.0,
            "after": 1.0,
            "layers": [{"name": f"stages.{number}.conv", **layer} for number in range(LAYERS)],
        },
        seconds={"initialization": 0.0, "rewiring": 0.0, "training": seconds},
    )


class NullWorker:
    """A worker that has trained a cohort as soon as it is asked to."""

    device = "none"

    def __init__(self, settings: Settings) -> None:
        """Nothing to load."""

    def check(self, cells: Sequence[Cell]) -> list[str]:
        return []

    def measure(self, cohort: Cohort) -> Throughput:
        raise NotImplementedError("the size of a cohort is given")

    def train(self, cohort: Cohort, *given: object) -> Outcome:
        return Outcome(tuple(record_of(trial) for trial in cohort.trials))


class NullActor(WorkerActor):
    """The pool's own actor with such a worker, and therefore without torch."""

    def ready(self, settings: Settings) -> Any:
        module: Any = types.ModuleType("benchmark.execution.worker")
        module.Worker = NullWorker
        sys.modules[module.__name__] = module
        return super().ready(settings)
