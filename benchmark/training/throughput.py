"""How long a trial of a cell takes in cohorts of different sizes: a few steps of each, measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark import models
from benchmark.initialization import Report
from benchmark.training import stackable
from benchmark.training.course import Candidate
from benchmark.training.data import CellData
from benchmark.training.device import is_out_of_memory, synchronise
from benchmark.training.network import Network, Stack
from benchmark.training.probe import probe

if TYPE_CHECKING:
    from benchmark.grid import Cohort

SIZES = (1, 2, 4, 8, 16, 32)
STEPS = 7
WARM_UP = 2
SMALLEST_LAST = 8
"""Stacking costs something by itself, so that 2 or 4 may be slower than 1 and 8 faster."""

SHARE_OF_FREE_MEMORY = 0.25
LONGEST_STEP = 10.0
"""Seconds: where a step takes longer, larger cohorts save nothing and are not tried."""


@dataclass(frozen=True)
class Throughput:
    """Seconds of training steps per trial, by cohort size; `why` no more than one is stacked."""

    seconds: dict[int, float]
    why: str = ""


def measure(cohort: Cohort, data: CellData, device: torch.device) -> Throughput:
    """Measure the cohort's cell, in sizes up to the cohort's own.

    A size that would take more than a share of the free memory, or runs out of it, is not tried
    or ends the measurement, and so does one that is clearly slower than a smaller one.
    """
    recipe = cohort.cell.recipe
    updates = recipe.epochs * max(len(data.train) // recipe.batch_size, 1)
    largest = min(len(cohort.trials), _fitting(cohort, data, device))
    seconds: dict[int, float] = {}
    why = ""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for size in SIZES:
            if size > largest:
                break
            try:
                candidates = _untreated(cohort, data, device, size)
                if size == 2:
                    why = stackable.why_not(
                        candidates, data.channels, data.classes, data.image_size
                    )
                    if why:
                        break
                network = (Stack if size > 1 else Network)(candidates, data, device)
                step = _step_seconds(network, data, device)
            except Exception as error:
                # What keeps a trial from being trained is for its record to say, not for this.
                if size > 1 and not is_out_of_memory(error):
                    why = f"{type(error).__name__}: {error}"
                break
            seconds[size] = step / size * updates
            slower = size >= SMALLEST_LAST and seconds[size] > 1.1 * min(seconds.values())
            if step > LONGEST_STEP or slower:
                break
    return Throughput(seconds or {1: LONGEST_STEP * updates}, why)


def _untreated(cohort: Cohort, data: CellData, device: torch.device, size: int) -> list[Candidate]:
    nothing = Report("", 0, (), 0.0, 0.0)
    return [
        Candidate(
            trial,
            models.build(
                cohort.cell.architecture,
                channels=data.channels,
                classes=data.classes,
                image_size=data.image_size,
                seed=trial.seed,
            ).to(device),
            nothing,
        )
        for trial in cohort.trials[:size]
    ]


def _step_seconds(network: Network, data: CellData, device: torch.device) -> float:
    images, labels = data.initialization_batch(network.recipe)
    # The processor's time of a single thread is not lengthened by what else the machine does.
    single = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if single else time.perf_counter
    taken = []
    for _ in range(STEPS):
        start = clock()
        network.step(images, labels)
        synchronise(device)
        taken.append(clock() - start)
    return min(taken[WARM_UP:])


def _fitting(cohort: Cohort, data: CellData, device: torch.device) -> int:
    """Return how many replicas fit into a share of the memory that is free."""
    size = cohort.cell.recipe.batch_size
    tried = min(size, 8)
    found = probe(cohort.cell, data.channels, data.classes, device, batch_size=tried, steps=1)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(int(SHARE_OF_FREE_MEMORY * free / max(found.memory(size), 1)), 1)
