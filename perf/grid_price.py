"""What the large grids would cost on GPUs, an estimate: `python -m perf.grid_price [--quick]`.

Operations of a training step are counted by torch on each architecture; trials, epochs and images
are the config's. GPUs are given by the peak of their data sheets, dense, in the recipe's number
format, and a step is taken to reach a share of it (--share). Beside it stands what a step reaches
here, measured, on one core in float32. Prices are arguments of the estimate, not facts: see PRICES.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from tabulate import tabulate
from torch.utils.flop_counter import FlopCounterMode

from benchmark import models
from benchmark.config import load_config
from benchmark.grid import Grid, expand
from benchmark.training.probe import image_size_of
from benchmark.trial import Cell

CONFIGS = Path(__file__).parent.parent / "configs"
TRAINING_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "imagenet": 1_281_167}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}

PEAKS = {
    "A10G": {"float32": 31.2, "bfloat16": 70.0},
    "A100": {"float32": 19.5, "bfloat16": 312.0},
    "H100": {"float32": 67.0, "bfloat16": 989.0},
}
"""TFLOP/s, dense, of NVIDIA's data sheets (SXM where there are several)."""

PRICES = {"A10G": 1.006, "A100": 1.844, "H100": 4.916}
"""USD per GPU and hour in Amazon's US regions: g5.xlarge on demand, June 2026; p4d.24xlarge and
p5.48xlarge in Capacity Blocks, January 2025. They change often and differ by provider."""


def main() -> None:
    """Print operations and hours of both grids."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the paper's grid alone, no timing")
    parser.add_argument("--share", type=float, default=0.2, help="of the peak that a step reaches")
    arguments = parser.parse_args()
    for name in ("paper",) if arguments.quick else ("paper", "imagenet"):
        grid = expand(load_config(CONFIGS / f"{name}.yaml"))
        print(operations(grid, timed=not arguments.quick), "\n")
        print(prices(grid, arguments.share), "\n")


def operations(grid: Grid, *, timed: bool) -> str:
    """Return a table of what a trial of each cell computes, and how fast this machine would."""
    rows = []
    for cell in grid.cells:
        one = operations_per_image(cell)
        trials = sum(trial.cell == cell for trial in grid.trials)
        total = one * images(cell)
        speed = f"{speed_here(cell, one) / 1e9:.1f}" if timed else "-"
        rows.append((str(cell), trials, f"{one / 1e9:.2f}", f"{total / 1e15:,.1f}", speed))
    headers = ("cell", "trials", "GFLOP an image", "PFLOP a trial", "here, GFLOP / CPU s")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def prices(grid: Grid, share: float) -> str:
    """Return a table of GPU hours and dollars of the whole grid, for every GPU with its format."""
    total = sum(
        operations_per_image(cell) * images(cell) * sum(t.cell == cell for t in grid.trials)
        for cell in grid.cells
    )
    dtype = grid.cells[0].recipe.dtype
    rows = []
    for gpu, peaks in PEAKS.items():
        if peak := peaks[dtype]:
            hours = total / (share * peak * 1e12) / 3600
            cost = f"{hours * PRICES[gpu]:,.0f}"
            rows.append((gpu, dtype, f"{peak:g}", f"{hours:,.0f}", f"{PRICES[gpu]:g}", cost))
    headers = ("GPU", "format", "peak, TFLOP/s", "GPU hours", "USD / h", "USD")
    title = f"{grid.config.name}: {len(grid.trials)} trials, estimate at {share:.0%} of the peak"
    return f"{title}\n\n" + tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def operations_per_image(cell: Cell) -> float:
    """Return the floating-point operations of a training step for one image: thrice the forward's.

    torch counts the backward pass of depthwise convolutions as if they were dense.
    """
    model, batch = _model(cell, 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(batch)
    return 3 * float(counter.get_total_flops()) / 2


def speed_here(cell: Cell, one: float) -> float:
    """Return the operations per CPU second that a step reaches here, on one core, in float32."""
    size = 2 if image_size_of(cell) > 64 else 16
    model, batch = _model(cell, size)
    taken = []
    for _ in range(3):
        start = time.process_time()
        model(batch).sum().backward()
        taken.append(time.process_time() - start)
    return one * size / min(taken)


def images(cell: Cell) -> float:
    """Return how many images a trial trains on, epochs included."""
    recipe = cell.recipe
    return TRAINING_IMAGES[cell.dataset] * (1 - recipe.validation_fraction) * recipe.epochs


def _model(cell: Cell, batch: int) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.set_num_threads(1)
    size = image_size_of(cell)
    model = models.build(
        cell.architecture, channels=3, classes=CLASSES[cell.dataset], image_size=size, seed=0
    )
    return model, torch.randn(batch, 3, size, size)


if __name__ == "__main__":
    main()
