"""What stacking gains and what the loop costs: `python -m perf.cohorts [--quick] [--json FILE]`.

The quickstart's models at its recipe. As many processes as there are cores, one thread each, all
measure the same at the same time: in turns a number of training batches, with everything that the
loop does for them, and as many bare steps (forward, loss, backward, optimizer) on one fixed batch.
Speed-up is against one process a core that trains one network after the other by the same loop.
Seconds are of the processor on a CPU, whose one thread is not slowed by what else a machine does,
and of the clock on a GPU; the median of the rounds. Loop efficiency is bare steps over loop.

The last table trains on generated JPEGs, 256 pixels wide, decoded by threads, in seconds
of the clock. Prints markdown; stores JSON with versions and hardware.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from benchmark.config import load_config
from benchmark.datasets.images import FileImages, Images
from benchmark.execution.jobs import Settings
from benchmark.execution.provenance import provenance
from benchmark.execution.worker import Worker
from benchmark.grid import Cohort, expand
from benchmark.recipe import Recipe
from benchmark.training.course import build
from benchmark.training.data import Batch, CellData, prepare
from benchmark.training.device import choose_device, synchronise
from benchmark.training.network import Network, Stack, mean_losses
from benchmark.treatment import parse_treatment
from benchmark.trial import Cell, Trial

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
SIZES = (1, 2, 4, 8, 16, 32)
JPEG_MODELS = ("resnet18",)


@dataclass(frozen=True)
class Measured:
    """Seconds of one training step per trial: in the loop, and bare."""

    model: str
    size: int
    loop: float
    bare: float


def main() -> None:
    """Measure, print the tables, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes, steps and rounds")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    device = choose_device("auto")
    cores = 1 if device.type == "cuda" else len(os.sched_getaffinity(0))
    sizes, batches, rounds = ((1, 8), 4, 3) if arguments.quick else (SIZES, 12, 5)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        every = pool.starmap(measure, [(sizes, batches, rounds)] * cores, chunksize=1)
    found = [
        Measured(
            rows[0].model,
            rows[0].size,
            statistics.mean(row.loop for row in rows),
            statistics.mean(row.bare for row in rows),
        )
        for rows in zip(*every, strict=True)
    ]
    jpegs = [measure_jpegs(model, 3 if arguments.quick else 8, device) for model in JPEG_MODELS]
    print(f"{cores} processes on {provenance(device)['device']}\n")
    print(speedups(found), "\n")
    print(loop_table(jpegs))
    if device.type != "cuda":
        print("\nOn a GPU: not measured, none is here.")
    if arguments.json:
        content = {
            **provenance(device),
            "processes": cores,
            "steps": [asdict(row) for row in found],
            "jpegs": [asdict(row) for row in jpegs],
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(sizes: tuple[int, ...], batches: int, rounds: int) -> list[Measured]:
    """Measure every model of the quickstart in cohorts of these sizes."""
    device = choose_device("auto")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    worker = Worker(Settings(threads=1))
    trials = expand(load_config(CONFIG)).trials
    found = []
    for cell in dict.fromkeys(trial.cell for trial in trials):
        members = tuple(trial for trial in trials if trial.cell == cell)
        data = worker._data_of(Cohort(members))
        batch = data.initialization_batch(cell.recipe)
        networks = {size: network_of(members[:size], data, device) for size in sizes}
        loop: dict[int, list[float]] = defaultdict(list)
        bare: dict[int, list[float]] = defaultdict(list)
        for _ in range(rounds + 1):
            for size, network in networks.items():
                for seconds, work in (
                    (loop, lambda n=network, d=data: train(n, d, batches, device)),
                    (bare, lambda n=network, b=batch: steps(n, b, batches, device)),
                ):
                    start = clock()
                    work()
                    seconds[size].append((clock() - start) / batches / size)
        found += [
            Measured(
                cell.architecture,
                size,
                statistics.median(loop[size][1:]),
                statistics.median(bare[size][1:]),
            )
            for size in sizes
        ]
    return found


def network_of(trials: tuple[Trial, ...], data: CellData, device: torch.device) -> Network:
    """Build and treat the networks of these trials, stacked if there are several."""
    candidates = [build(trial, data, device) for trial in trials]
    return (Stack if len(candidates) > 1 else Network)(candidates, data, device)


def train(network: Network, data: CellData, batches: int, device: torch.device) -> None:
    """Train on the first batches of an epoch as the benchmark does."""
    stream = data.training_batches(network.recipe, 0, 1)
    for _, (images, labels) in zip(range(batches), stream, strict=False):
        network.step(images, labels)
    synchronise(device)


def steps(network: Network, batch: Batch, count: int, device: torch.device) -> None:
    """Take bare training steps on one batch."""
    images, labels = batch
    seeds = [0] * len(network.courses)
    network._model.train()
    for _ in range(count):
        losses = mean_losses(network._logits(images, seeds), labels)
        network._optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        network._optimizer.step()
    synchronise(device)


def measure_jpegs(model: str, batches: int, device: torch.device) -> Measured:
    """Train a model at its own size on generated JPEGs; the clock runs while they are decoded."""
    from PIL import Image

    batch_size = 16
    cell = Cell("folder", model, "default", Recipe(batch_size=batch_size))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(batch_size * batches + 20):
            coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            paths.append(f"{folder}/{number}.jpeg")
            coarse.resize((320, 256)).save(paths[-1], quality=90)
        files = FileImages(paths, np.arange(len(paths)) % 10)
        images = Images(10, (0.5,) * 3, (0.25,) * 3, files, files)
        data = prepare(images, 224, 0, 0.05, device)
        trial = Trial(cell, parse_treatment("timm"), 0)
        network = network_of((trial,), data, device)
        batch = data.initialization_batch(cell.recipe)
        steps(network, batch, 1, device)
        seconds = []
        for work in (train, steps):
            start = time.perf_counter()
            given = data if work is train else batch
            work(network, given, batches, device)  # type: ignore[operator]
            seconds.append((time.perf_counter() - start) / batches)
    return Measured(f"{model}, 224 pixels, batches of {batch_size}", 1, *seconds)


def speedups(found: list[Measured]) -> str:
    """Return a table of models and cohort sizes, and the geometric mean of the best speed-ups."""
    alone = {row.model: row.loop for row in found if row.size == 1}
    best: dict[str, float] = defaultdict(float)
    lines = []
    for row in found:
        speedup = alone[row.model] / row.loop
        best[row.model] = max(best[row.model], speedup)
        times = f"{1e3 * row.loop:.2f}", f"{1e3 * row.bare:.2f}"
        lines.append(
            (row.model, row.size, *times, f"{100 * row.bare / row.loop:.0f} %", f"{speedup:.2f}")
        )
    mean = math.prod(best.values()) ** (1 / len(best))
    headers = ("model", "cohort", "loop, ms", "bare step, ms", "loop efficiency", "speed-up")
    table = tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)
    return f"{table}\n\nGeometric mean of each model's best speed-up: {mean:.2f}"


def loop_table(found: list[Measured]) -> str:
    """Return a table of what the loop costs on JPEGs."""
    lines = [
        (row.model, f"{row.loop:.2f}", f"{row.bare:.2f}", f"{100 * row.bare / row.loop:.0f} %")
        for row in found
    ]
    headers = ("JPEGs", "loop, s a step", "bare step, s", "loop efficiency")
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    main()
