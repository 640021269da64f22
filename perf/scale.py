"""The real driver with simulated workers: `python -m perf.scale [--quick]`.

The driver's own code (the plan of cohorts, the pool, progress, a store on a disk) works for 10 to
10,000 GPUs of a simulated Ray (perf/simulated_ray.py). Durations are drawn from the cells of the
published digits board (mean and spread over its trials), stretched so that a trial takes --seconds
on average. Time is simulated for workers and real for the driver: what it takes between two
events, it takes from the workers that wait for it.

Delay is how long a worker that has finished waits for its next cohort. The lower bound of the
makespan is the sum of durations over the workers, or the longest cohort. Busy is the share of the
makespan that the driver works.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

if TYPE_CHECKING:
    from benchmark.grid import Cohort
    from benchmark.training.speed import Throughput
    from benchmark.trial import Cell

BOARD = Path(__file__).parent.parent / "leaderboard" / "digits" / "trials.csv"
SIZES = ((10, 1_000), (100, 10_000), (1_000, 100_000), (10_000, 1_000_000))
QUICK = ((10, 100), (100, 1_000))


class Durations:
    """How long cohorts train: the board's cells, stretched, with a scatter as on the board."""

    def __init__(self, cells: Sequence[Cell], seconds: float, cohort: int) -> None:
        measured = measured_cells()
        stretch = seconds / statistics.mean(mean for mean, _ in measured)
        keys = sorted(cell.key for cell in cells)
        self._cells = {key: measured[at % len(measured)] for at, key in enumerate(keys)}
        self._stretch, self._cohort = stretch, cohort
        self._rng = np.random.default_rng(0)

    def drawn(self, cohort: Cohort) -> float:
        """Return the seconds that a cohort takes this time."""
        mean, spread = self._cells[cohort.cell.key]
        scatter = float(self._rng.lognormal(0.0, spread))
        return self._stretch * mean * scatter * len(cohort.trials)

    def measured(self, cohort: Cohort) -> Throughput:
        """Return what the cohort's cell was measured to take, in cohorts of the one size."""
        from benchmark.training.speed import Throughput

        return Throughput({self._cohort: self._stretch * self._cells[cohort.cell.key][0]})


def measured_cells() -> list[tuple[float, float]]:
    """Return mean seconds of a trial and their relative spread, of every cell of the board."""
    found = defaultdict(list)
    with open(BOARD, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["status"] == "ok":
                found[row["architecture"]].append(float(row["seconds"]))
    return [
        (statistics.mean(values), statistics.stdev(values) / statistics.mean(values))
        for values in found.values()
    ]


def main() -> None:
    """Simulate every size in a process of its own; print the table, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two small sizes")
    parser.add_argument("--seconds", type=float, default=600.0, help="mean seconds of a trial")
    parser.add_argument("--most", type=int, default=1_000_000, help="no more trials than this")
    parser.add_argument("--cohort", type=int, default=1, help="trials a cohort")
    parser.add_argument("--folder", type=Path, help="where the results folders are made")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    found = []
    for workers, trials in QUICK if arguments.quick else SIZES:
        size = workers, min(trials, arguments.most), arguments.cohort
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            call = f"simulate(*{size}, {arguments.seconds}, {folder!r})"
            command = [sys.executable, "-c", f"from perf.scale import simulate; {call}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(table(found))
    if arguments.json:
        from perf.versions import versions

        content = {**versions(), "seconds": arguments.seconds, "sizes": found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def simulate(workers: int, trials: int, cohort: int, seconds: float, folder: str) -> None:
    """Run the driver for so many workers and print what it took."""
    from rich.console import Console

    from benchmark.execution.progress import Progress
    from benchmark.execution.run import train_missing
    from benchmark.results.store import open_store
    from perf.nothing import grid_of
    from perf.null_trials import resident
    from perf.simulated_ray import SimulatedRay, simulated_executor

    start = time.process_time()
    grid = grid_of(trials, "auto", minutes=seconds)
    expanded = time.process_time()
    durations = Durations(grid.cells, seconds, cohort)
    ray = SimulatedRay(workers, durations.drawn, durations.measured)
    begun = time.perf_counter()
    console, total = Console(file=io.StringIO()), len(grid.trials)
    with open_store(folder) as store, Progress(console, total, 0) as progress:
        began = ray.now()
        summary = train_missing(
            grid, store, lambda: simulated_executor(ray), on_event=progress.show
        )
        makespan = ray.now() - began
    if summary.statuses != {"ok": total}:
        raise SystemExit(f"{summary} instead of {total} trials")
    delays = np.array(ray.delays or [0.0])
    found = {
        "workers": workers,
        "trials": total,
        "cohort": cohort,
        "expand_cpu": expanded - start,
        "driver_cpu": time.process_time() - expanded - ray.aside_cpu,
        "driver_busy": makespan - ray.waited,
        "wall": time.perf_counter() - begun,
        "memory": resident(),
        "delay_median": float(np.median(delays)),
        "delay_99": float(np.quantile(delays, 0.99)),
        "makespan": makespan,
        "bound": max(ray.work / workers, ray.longest),
    }
    print(json.dumps(found))


def table(found: list[dict[str, float]]) -> str:
    """Return a row for each number of workers."""
    headers = (
        *("GPUs", "trials", "driver, CPU ms a trial", "records/s, at most", "memory, MiB"),
        *("delay, median / 99 %", "makespan, h", "over the bound", "driver busy"),
    )
    rows = [
        (
            f"{row['workers']:,}",
            f"{row['trials']:,}",
            f"{1e3 * row['driver_cpu'] / row['trials']:.2f}",
            f"{row['trials'] / row['driver_busy']:,.0f}",
            f"{row['memory'] / 2**20:,.0f}",
            f"{1e3 * row['delay_median']:.1f} / {1e3 * row['delay_99']:.1f} ms",
            f"{row['makespan'] / 3600:.2f}",
            f"{100 * (row['makespan'] / row['bound'] - 1):.1f} %",
            f"{100 * row['driver_busy'] / row['makespan']:.2f} %",
        )
        for row in found
    ]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    main()
