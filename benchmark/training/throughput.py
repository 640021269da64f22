"""How long a trial of a cell takes in cohorts of different sizes: a few steps of each, measured."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import torch

from benchmark import models
from benchmark.initialization import Report
from benchmark.training import stackable
from benchmark.training.course import Candidate
from benchmark.training.data import CellData
from benchmark.training.device import (
    available_memory,
    is_out_of_memory,
    own_global_state,
    synchronise,
)
from benchmark.training.network import Network, Stack
from benchmark.training.probe import probe
from benchmark.training.speed import Throughput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmark.grid import Cohort
    from benchmark.trial import Trial

SIZES = (1, 4, 8, 16, 32)
TIMED_STEPS = {1: 5, 2: 4, 4: 4, 8: 3}
"""By size; of larger ones two, because a step of theirs costs as many times more."""

SMALLEST_LAST = 8
"""Stacking costs something by itself, so that 2 or 4 may be slower than 1 and 8 faster."""

LEAST_GAIN = 0.03
"""Where twice the size would hardly gain more than this on the best so far, it is not tried."""

SHARE_OF_FREE_MEMORY = 0.25
LONGEST_STEP = 10.0
"""Seconds: where a step takes longer, larger cohorts save nothing and are not tried."""


def measure(cohort: Cohort, data: CellData, device: torch.device) -> Throughput:
    """Measure the cohort's cell, in sizes up to the cohort's own.

    A size that would take more than a share of the free memory, or runs out of it, is not tried
    or ends the measurement, and so is one that would hardly gain. All of it takes about as long as
    a trial, so that a size of 2 is tried only where 4 cannot be.
    """
    recipe = cohort.cell.recipe
    updates = recipe.epochs * max(len(data.train) // recipe.batch_size, 1)
    largest = min(len(cohort.trials), _fitting(cohort, data, device))
    seconds: dict[int, float] = {}
    why, model = "", None
    with own_global_state(recipe, device):
        for size in SIZES if largest >= SIZES[1] else (1, 2):
            if size > largest:
                break
            try:
                model = model or _build(cohort, data, device)
                candidates = _untreated(cohort.trials[:size], model)
                if size > 1 and len(seconds) == 1:
                    why = stackable.why_not(
                        candidates, data.channels, data.classes, data.image_size
                    )
                    if why:
                        break
                network = (Stack if size > 1 else Network)(candidates, data, device)
                step = _step_seconds(network, data, device, TIMED_STEPS.get(size, 2))
            except Exception as error:
                # What keeps a trial from being trained is for its record to say, not for this.
                if size > 1 and not is_out_of_memory(error):
                    why = f"{type(error).__name__}: {error}"
                break
            seconds[size] = step / size * updates
            if step > LONGEST_STEP or _is_last(seconds, size):
                break
    return Throughput(seconds or {1: LONGEST_STEP * updates}, why)


def _is_last(seconds: Mapping[int, float], size: int) -> bool:
    """Whether no larger size is worth a try, by what this one has gained on half of it.

    Stacking costs a + b / size a trial, so that each doubling gains half of what the last one did.
    """
    if size < SMALLEST_LAST:
        return False
    expected = seconds[size] - (seconds[size // 2] - seconds[size]) / 2
    return expected > (1 - LEAST_GAIN) * min(seconds.values())


def _build(cohort: Cohort, data: CellData, device: torch.device) -> torch.nn.Module:
    return models.build(
        cohort.cell.architecture,
        channels=data.channels,
        classes=data.classes,
        image_size=data.image_size,
        seed=cohort.trials[0].seed,
    ).to(device)


def _untreated(trials: Sequence[Trial], model: torch.nn.Module) -> list[Candidate]:
    """Return a candidate a trial, all with one copy of the model, which trains as fast as many."""
    twin, nothing = copy.deepcopy(model), Report("", 0, (), 0.0, 0.0)
    return [Candidate(trial, twin, nothing) for trial in trials]


def _step_seconds(network: Network, data: CellData, device: torch.device, steps: int) -> float:
    """Return the least time of some steps, after one that allocates and, on a GPU, tunes."""
    images, labels = data.initialization_batch(network.recipe)
    # The processor's time of a single thread is not lengthened by what else the machine does.
    single = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if single else time.perf_counter
    taken = []
    warm_up = 2 if device.type == "cuda" else 1
    for _ in range(warm_up + steps):
        start = clock()
        network.step(images, labels)
        synchronise(device)
        taken.append(clock() - start)
    return min(taken[warm_up:])


def _fitting(cohort: Cohort, data: CellData, device: torch.device) -> int:
    """Return how many replicas fit into a share of the memory that is free."""
    size = cohort.cell.recipe.batch_size
    tried = min(size, 8)
    found = probe(cohort.cell, data.channels, data.classes, device, batch_size=tried, steps=1)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = available_memory()
    return max(int(SHARE_OF_FREE_MEMORY * free / max(found.memory(size), 1)), 1)
