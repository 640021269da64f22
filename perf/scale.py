"""The real driver with simulated workers: `python -m perf.scale [--quick]`.

The driver's own code (the plan of cohorts, the main loop, progress, a store on a disk) works for
10 to 10,000 simulated GPUs. Durations are drawn from the cells of the published digits board
(mean and spread over its trials), stretched so that a trial takes --seconds on average. Time is
simulated for workers and real for the driver: what it takes between two events, it takes from the
workers that wait for it.

Delay is how long a worker that has finished waits for its next cohort. The lower bound of the
makespan is the sum of durations over the workers, or the longest cohort. Busy is the share of the
makespan that the driver works. Last comes an extrapolation, which is marked as one.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

BOARD = Path(__file__).parent.parent / "leaderboard" / "digits" / "trials.csv"
SIZES = ((10, 1_000), (100, 10_000), (1_000, 100_000), (10_000, 100_000))
QUICK = ((10, 100), (100, 1_000))
EXTRAPOLATED = 10_000_000


class SimulatedExecutor:
    """So many workers in simulated time, which wait for a driver that works in real time."""

    keeps_limits = False

    def __init__(self, workers: int, seconds: float) -> None:
        self.workers = workers
        self.delays: list[float] = []
        self.end = self.busy = self.work = self.longest = 0.0
        self._cells = measured_cells()
        mean = statistics.mean(mean for mean, _ in self._cells)
        self._stretch = seconds / mean
        self._rng = np.random.default_rng(0)

    def check(self, cells: Sequence[Any]) -> list[str]:
        return []

    def measure(self, cohorts: Sequence[Any]) -> list[Any]:
        from benchmark.training.speed import Throughput

        place = {key: at for at, key in enumerate(sorted({c.cell.key for c in cohorts}))}
        means = [self._cells[place[c.cell.key] % len(self._cells)][0] for c in cohorts]
        return [Throughput({1: self._stretch * mean}) for mean in means]

    def run(self, jobs: Sequence[Any], attempts: int, *_: Any) -> Iterator[Any]:
        from benchmark.execution.jobs import Finished, Started
        from perf.nothing import record_of

        queue = deque(jobs)
        cells = sorted({job.cohort.cell.key for job in jobs})
        place = {key: at % len(self._cells) for at, key in enumerate(cells)}
        running: list[tuple[float, int, Any]] = []
        idle = [(0.0, number) for number in range(self.workers)]
        free = 0.0  # When the driver has dealt with all before.
        left = time.perf_counter()
        self.busy = 0.0

        def handled() -> float:
            nonlocal left
            spent, left = time.perf_counter() - left, 0.0
            self.busy += spent
            return spent

        while queue or running:
            while queue and idle:
                since, number = idle.pop()
                job = queue.popleft()
                left = time.perf_counter()
                yield Started(job)
                free = max(free, since) + handled()
                if since > 0:
                    self.delays.append(free - since)
                mean, spread = self._cells[place[job.cohort.cell.key]]
                scatter = self._rng.lognormal(0.0, spread)
                seconds = self._stretch * mean * scatter * len(job.cohort.trials)
                self.work += seconds
                self.longest = max(self.longest, seconds)
                heapq.heappush(running, (free + seconds, number, job))
            now, number, job = heapq.heappop(running)
            finished = Finished(job, tuple(record_of(trial) for trial in job.cohort.trials))
            left = time.perf_counter()
            yield finished
            free = max(free, now) + handled()
            idle.append((now, number))
        self.end = free

    def close(self) -> None:
        """Nothing to end."""


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
    parser.add_argument("--most", type=int, default=100_000, help="no more trials than this")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    found = []
    for workers, trials in QUICK if arguments.quick else SIZES:
        call = f"simulate({workers}, {min(trials, arguments.most)}, {arguments.seconds})"
        command = [sys.executable, "-c", f"from perf.scale import simulate; {call}"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    print(table(found))
    print("\n" + extrapolation(found, arguments.seconds))
    if arguments.json:
        from perf.versions import versions

        content = {**versions(), "seconds": arguments.seconds, "sizes": found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def simulate(workers: int, trials: int, seconds: float) -> None:
    """Run the driver for so many workers and print what it took."""
    from rich.console import Console

    from benchmark.execution.progress import Progress
    from benchmark.execution.run import train_missing
    from benchmark.results.store import open_store
    from perf.nothing import grid_of
    from perf.null_trials import resident

    executor: Any = SimulatedExecutor(workers, seconds)
    start = time.process_time()
    grid = grid_of(trials, "auto")
    expanded = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        console, total = Console(file=io.StringIO()), len(grid.trials)
        with open_store(folder) as store, Progress(console, total, 0) as progress:
            summary = train_missing(grid, store, lambda: executor, on_event=progress.show)
    if summary.statuses != {"ok": total}:
        raise SystemExit(f"{summary} instead of {total} trials")
    delays = np.array(executor.delays or [0.0])
    found = {
        "workers": workers,
        "trials": total,
        "expand_cpu": expanded - start,
        "driver_cpu": time.process_time() - expanded,
        "driver_wall": executor.busy,
        "memory": resident(),
        "delay_median": float(np.median(delays)),
        "delay_99": float(np.quantile(delays, 0.99)),
        "makespan": executor.end,
        "bound": max(executor.work / workers, executor.longest),
    }
    print(json.dumps(found))


def table(found: list[dict[str, float]]) -> str:
    """Return a row for each number of workers."""
    headers = (
        *("GPUs", "trials", "driver, CPU ms a trial", "records/s to the store", "memory, MiB"),
        *("delay, median / 99 %", "makespan, h", "over the bound", "driver busy"),
    )
    rows = [
        (
            f"{row['workers']:,}",
            f"{row['trials']:,}",
            f"{1e3 * row['driver_cpu'] / row['trials']:.2f}",
            f"{row['trials'] / row['driver_wall']:,.0f}",
            f"{row['memory'] / 2**20:.0f}",
            f"{1e3 * row['delay_median']:.1f} / {1e3 * row['delay_99']:.1f} ms",
            f"{row['makespan'] / 3600:.2f}",
            f"{100 * (row['makespan'] / row['bound'] - 1):.1f} %",
            f"{100 * row['driver_wall'] / row['makespan']:.2f} %",
        )
        for row in found
    ]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def extrapolation(found: list[dict[str, float]], seconds: float) -> str:
    """Say where the driver would be the limit, and what ten million trials would take of it."""
    small, large = found[0], max(found, key=lambda row: row["trials"])
    wall = large["driver_wall"] / large["trials"]
    grown = (large["memory"] - small["memory"]) / (large["trials"] - small["trials"])
    memory = small["memory"] + grown * EXTRAPOLATED
    return (
        f"Extrapolated, not measured: one driver keeps {seconds / wall:,.0f} GPUs busy if every"
        f" trial is a cohort of {seconds:.0f} s ({1e3 * wall:.2f} ms of the driver each);"
        f" {EXTRAPOLATED:,} trials take it {EXTRAPOLATED * wall / 3600:.1f} h and"
        f" {memory / 2**30:.1f} GiB."
    )


if __name__ == "__main__":
    main()
