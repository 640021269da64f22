"""How fast products run inside of training: `python -m perf.products [--quick] [--json FILE]`.

Training steps of the quickstart's models, alone and in a cohort of 16, on one thread of a CPU, with
the processor's time of every operation taken: what share of it goes to matrix products and
convolutions, and how many floating-point operations a second they reach there. Beside it what the
same core reaches at its best, in a product of 2048 x 2048 and in a 3x3 convolution of 256 channels.

Operations are nominal: a convolution's taps count where they meet the border, too. What takes the
times adds some microseconds to each operation. The median of the steps. Prints markdown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.config import load_config
from benchmark.execution.jobs import Settings
from benchmark.execution.worker import Worker
from benchmark.grid import expand
from benchmark.trial import Cell
from perf.cohorts import steps
from perf.phases import CONFIG, Clock, Setting, network_of
from perf.versions import versions

aten = torch.ops.aten
Key = tuple[str, float]
"""Kind of operation, and how many floating-point operations it is."""


class Operations(TorchDispatchMode):
    """Adds up seconds and floating-point operations of what runs within it, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        start = time.process_time()
        result = function(*args, **(kwargs or {}))
        taken = time.process_time() - start
        kind, count = count_of(function, args, result)
        self.seconds[kind] += taken
        self.operations[kind] += count
        return result


def count_of(function: Any, args: Any, result: Any) -> Key:
    """Return the kind of an operation and its floating-point operations, 0 for other kinds."""
    if function in (aten.mm.default, aten.bmm.default):
        return "products", 2.0 * result.numel() * args[0].shape[-1]
    if function in (aten.addmm.default, aten.baddbmm.default):
        return "products", 2.0 * result.numel() * args[1].shape[-1]
    if function is aten.convolution.default:
        return "convolutions", 2.0 * result.numel() * args[1][0].numel()
    if function is aten.convolution_backward.default:
        gradients = sum(args[-1][:2])
        return "convolutions", 2.0 * gradients * args[0].numel() * args[2][0].numel()
    return "other", 0.0


@dataclass(frozen=True)
class Measured:
    """A training step: seconds per trial, and by kind the share of them and GFLOP/s."""

    model: str
    replicas: int
    seconds: float
    shares: dict[str, float]
    gflops: dict[str, float]


def measure(cell: Cell, replicas: int, rounds: int) -> Measured:
    """Take training steps of a cohort apart."""
    device = torch.device("cpu")
    setting = Setting(cell.architecture, replicas)
    data = setting.data(200, device)
    network = network_of(setting, cell.recipe, data, Clock(device), device)
    batch = data.initialization_batch(cell.recipe)
    steps(network, batch, 3, device)
    found = []
    for _ in range(rounds):
        with Operations() as each:
            steps(network, batch, 1, device)
        found.append(each)
    seconds = {
        kind: statistics.median(each.seconds[kind] for each in found) for kind in found[0].seconds
    }
    total = sum(seconds.values())
    return Measured(
        cell.architecture,
        replicas,
        total / replicas,
        {kind: value / total for kind, value in seconds.items()},
        {kind: found[0].operations[kind] / value / 1e9 for kind, value in seconds.items()},
    )


def peaks() -> dict[str, float]:
    """Return the GFLOP/s of a large product and of a large convolution."""
    matrix = torch.randn(2048, 2048)
    images, kernel = torch.randn(16, 256, 28, 28), torch.randn(256, 256, 3, 3)
    work: dict[str, tuple[float, Callable[[], Any]]] = {
        "products": (2.0 * 2048**3, lambda: matrix @ matrix),
        "convolutions": (
            2.0 * images.numel() * kernel[0].numel(),
            lambda: torch.conv2d(images, kernel, padding=1),
        ),
    }
    found = {}
    for kind, (operations, run) in work.items():
        run()
        taken = []
        for _ in range(5):
            start = time.process_time()
            run()
            taken.append(time.process_time() - start)
        found[kind] = operations / min(taken) / 1e9
    return found


def table(found: list[Measured], peak: dict[str, float]) -> str:
    """Return the table of shares and speeds."""
    kinds = ("products", "convolutions")
    lines = [
        (
            each.model,
            each.replicas,
            f"{1e3 * each.seconds:.2f}",
            *(f"{100 * each.shares.get(kind, 0.0):.0f} %" for kind in kinds),
            *(f"{each.gflops.get(kind, 0.0):.0f}" for kind in kinds),
        )
        for each in found
    ]
    lines.append(("the core at its best", "", "", "", "", *(f"{peak[kind]:.0f}" for kind in kinds)))
    headers = ("model", "cohort", "operations, ms", *kinds, *(f"{kind}, GFLOP/s" for kind in kinds))
    return tabulate(lines, headers, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    """Measure, print the table, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller cohorts, fewer rounds")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    Worker(Settings(device="cpu", threads=1))  # Sets threads and memory as for training.
    cells = dict.fromkeys(trial.cell for trial in expand(load_config(CONFIG)).trials)
    found = [
        measure(cell, replicas, 2 if arguments.quick else 20)
        for cell in cells
        for replicas in ((1, 2) if arguments.quick else (1, 16))
    ]
    peak = peaks()
    print(table(found, peak))
    if arguments.json:
        content = {**versions(), "steps": [asdict(each) for each in found], "peak": peak}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
