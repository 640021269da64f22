"""What driver, pool and store cost by themselves: `python -m perf.null_trials [--quick]`.

Trials that take no time go through the real driver, Ray's pool and a store on a disk, with records
of the size that training leaves; then a new process opens the store and finds out what is missing.
Prints markdown; stores JSON with versions.

`driver` is the CPU time of the driver's process, `memory` its resident size when the first trial
starts and when the last record is written, `resume` the wall time from a config to the list of
missing trials; what timm holds is known from the run before.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tabulate import tabulate

SIZES = (10_000, 30_000, 100_000)
QUICK = 500


def main() -> None:
    """Measure every size in processes of its own; print the table, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} trials")
    parser.add_argument("--trials", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--cohort", type=int, default=8, help="trials a cohort")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    sizes = (QUICK,) if arguments.quick else arguments.trials
    found = [measure(size, arguments.cohort) for size in sizes]
    print(table(found))
    if arguments.json:
        from perf.versions import versions

        content = {**versions(), "cohort": arguments.cohort, "sizes": found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(trials: int, cohort: int) -> dict[str, float]:
    """Return what a grid of about so many null trials costs, trained and then resumed."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, float] = {}
        for step in ("train", "resume"):
            program = f"from perf.null_trials import {step}; {step}({folder!r}, {trials}, {cohort})"
            command = [sys.executable, "-c", program]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found |= json.loads(done.stdout.splitlines()[-1])
        found["store"] = sum(path.stat().st_size for path in Path(folder).iterdir())
        found["manifest"] = (Path(folder) / "grid.json").stat().st_size
    return found


def train(folder: str, trials: int, cohort: int) -> None:
    """Train null trials through the pool and print what that took."""
    from rich.console import Console

    from benchmark.execution.jobs import Settings, Started
    from benchmark.execution.progress import Progress
    from benchmark.execution.ray_pool import RayExecutor
    from benchmark.execution.run import train_missing
    from benchmark.results.store import open_store
    from perf.nothing import NullActor, grid_of

    grid = grid_of(trials, cohort)
    executor = RayExecutor(Settings(device="cpu"), actor_class=NullActor)
    first: dict[str, float] = {}

    def begin(event: Any) -> None:
        if isinstance(event, Started) and not first:
            first.update(wall=time.perf_counter(), cpu=time.process_time(), memory=resident())
        progress.show(event)

    total = len(grid.trials)
    with open_store(folder) as store, Progress(Console(file=io.StringIO()), total, 0) as progress:
        start = time.process_time()
        summary = train_missing(grid, store, lambda: executor, on_event=begin)
    if summary.statuses != {"ok": total}:
        raise SystemExit(f"{summary} instead of {total} trials")
    found = {
        "trials": total,
        "planning_cpu": first["cpu"] - start,
        "wall": time.perf_counter() - first["wall"],
        "driver_cpu": time.process_time() - first["cpu"],
        "memory_first": first["memory"],
        "memory_last": resident(),
    }
    print(json.dumps(found))


def resume(folder: str, trials: int, cohort: int) -> None:
    """Find out what is missing from a store that has everything, and print how long it took."""
    from benchmark.grid import missing
    from benchmark.results.store import open_store
    from perf.nothing import grid_of

    marks = [(time.perf_counter(), time.process_time())]

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    grid = grid_of(trials, cohort)
    mark()
    with open_store(folder) as store:
        mark()
        if missing(grid, store.done()):
            raise SystemExit("trials are missing from a store that has all of them")
        mark()
    wall, cpu = (marks[-1][clock] - marks[0][clock] for clock in (0, 1))
    parts = [after[1] - before[1] for before, after in itertools.pairwise(marks)]
    names = ("resume_expand", "resume_open", "resume_compare")
    found = {"resume_wall": wall, "resume_cpu": cpu, **dict(zip(names, parts, strict=True))}
    print(json.dumps({**found, "resume_memory": resident()}))


def resident() -> float:
    """Return the resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def table(found: list[dict[str, float]]) -> str:
    """Return a row for each number of trials."""
    headers = (
        *("trials", "trials/s", "wall, s", "driver, CPU ms a trial", "planning, CPU s"),
        *("memory, MiB", "store, MB", "manifest, MB", "resume, s", "resume, CPU s"),
    )
    rows = [
        (
            f"{row['trials']:,}",
            f"{row['trials'] / row['wall']:.0f}",
            f"{row['wall']:.1f}",
            f"{1e3 * row['driver_cpu'] / row['trials']:.2f}",
            f"{row['planning_cpu']:.2f}",
            f"{row['memory_first'] / 2**20:.0f} to {row['memory_last'] / 2**20:.0f}",
            f"{row['store'] / 1e6:.1f}",
            f"{row['manifest'] / 1e6:.1f}",
            f"{row['resume_wall']:.2f}",
            f"{row['resume_cpu']:.2f}",
        )
        for row in found
    ]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    main()
