"""What a grid costs beside its training: one run, start-up, board and all.

    python -m perf.overhead configs/digits.yaml
    python -m perf.overhead --quick

Overhead is 1 - (sum of the trials' seconds) / (workers x wall time), where a trial's seconds are
those of initialisation, rewiring and training with validation. Prints the figure as a markdown
table, and a second one that splits workers x wall time into phases: they add up to all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from benchmark.execution.jobs import Event, Executor, Job
    from benchmark.execution.pairs import Pair
    from benchmark.grid import Cohort
    from benchmark.training.speed import Throughput
    from benchmark.trial import Cell

QUICKSTART = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
QUICK = ["grid.seeds=2", "recipe.epochs=1", "recipe.warmup_epochs=0"]
PHASES = {
    "start": "start: command, Ray, first worker's imports",
    "check": "check: data sets loaded, a batch through every architecture",
    "measure": "measure: steps in cohorts of several sizes",
    "plan": "plan: cohorts chosen and written down",
    "training": "trials: initialisation, rewiring, training, validation, test",
    "cohorts": "in a worker beside that: models built, strengths measured, results sent",
    "gaps": "workers without a cohort: between two of them",
    "tail": "workers without a cohort: at the queue's end",
    "end": "board, shutdown of Ray",
}


def main() -> None:
    """Run a config in a fresh folder; print wall time, training time, overhead and phases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("config", nargs="?", default=str(QUICKSTART))
    parser.add_argument("--quick", action="store_true", help="an epoch of few trials")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="a new folder that keeps the results")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    if arguments.out and arguments.out.exists():
        parser.error(f"{arguments.out} exists: what a whole grid costs needs a new folder")
    changes = [*(QUICK if arguments.quick else []), *arguments.set]
    found = measure(arguments.config, arguments.workers, changes, arguments.out)
    print(f"{summary(found)}\n\n{breakdown(found)}")
    if arguments.json:
        from perf.versions import versions

        content = {**versions(), "config": arguments.config, "changes": changes, **found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(
    config: str, workers: int, changes: Sequence[str], keep: Path | None = None
) -> dict[str, Any]:
    """Run a grid in a process of its own; return its trials, wall seconds and seconds by phase.

    The seconds of a phase are those of all workers together. Results go to the folder `keep`.
    """
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks.json"
        out = str((keep or Path(folder) / "out").resolve())
        asked = [config, out, str(marks), f"execution.workers={workers}", *changes]
        start = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "perf.overhead_run", *asked],
            check=True,
            cwd=Path(__file__).parent.parent,
            stdout=sys.stderr,
        )
        end = time.monotonic()
        lines = (Path(out) / "records.jsonl").read_text(encoding="utf-8").splitlines()
        seen = json.loads(marks.read_text(encoding="utf-8"))
    seconds = sum(sum(json.loads(line)["seconds"].values()) for line in lines)
    return {
        "trials": len(lines),
        "workers": workers,
        "wall": end - start,
        "phases": phases(seen, workers, start, end, seconds),
    }


def phases(
    seen: Mapping[str, Any], workers: int, start: float, end: float, training: float
) -> dict[str, float]:
    """Split workers x (end - start) among the phases, from the marks that a run has left.

    `seen` has the moments "ready", "checked", "measured" (the seconds it took are in "measuring"),
    and "cohorts": of each its node-wide beginning and end.
    """
    cohorts = sorted(seen["cohorts"])
    first = min(begin for begin, _ in cohorts)
    last = max(finish for _, finish in cohorts)
    busy = sum(finish - begin for begin, finish in cohorts)
    # From the moment on when nothing was handed out any more, whoever ends is idle.
    ends = sorted((finish for _, finish in cohorts), reverse=True)[:workers]
    tail = sum(last - finish for finish in ends) + (workers - len(ends)) * (last - first)
    return {
        "start": workers * (seen["ready"] - start),
        "check": workers * (seen["checked"] - seen["ready"]),
        "measure": workers * seen["measuring"],
        "plan": workers * (first - seen["checked"] - seen["measuring"]),
        "training": training,
        "cohorts": busy - training,
        "gaps": workers * (last - first) - busy - tail,
        "tail": tail,
        "end": workers * (end - last),
    }


def summary(found: Mapping[str, Any]) -> str:
    """Return a table of one row: trials, wall time, training and overhead."""
    whole = found["workers"] * found["wall"]
    training = found["phases"]["training"]
    headers = ("trials", "workers", "wall, s", "sum of trials, s", "overhead, %")
    row = (
        found["trials"],
        found["workers"],
        f"{found['wall']:.1f}",
        f"{training:.1f}",
        f"{100 * (1 - training / whole):.1f}",
    )
    return tabulate([row], headers, tablefmt="pipe", disable_numparse=True)


def breakdown(found: Mapping[str, Any]) -> str:
    """Return a table of the phases: seconds of all workers, and their share of the whole."""
    whole = found["workers"] * found["wall"]
    rows = [
        (words, f"{found['phases'][phase]:.1f}", f"{100 * found['phases'][phase] / whole:.1f}")
        for phase, words in PHASES.items()
    ]
    headers = ("phase", "worker seconds", "%")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


class Watched:
    """An executor that notes when what happened."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self.seen: dict[str, Any] = {"measuring": 0.0, "cohorts": []}

    @property
    def workers(self) -> int:
        return self._inner.workers

    @property
    def kinds(self) -> Collection[str]:
        return self._inner.kinds

    @property
    def keeps_limits(self) -> bool:
        return self._inner.keeps_limits

    def check(self, cells: Sequence[Cell]) -> list[str]:
        # Nothing to check: the answer comes as soon as there is a worker.
        self._inner.check([])
        self.seen["ready"] = time.monotonic()
        found = self._inner.check(cells)
        self.seen["checked"] = time.monotonic()
        return found

    def measure(self, cohorts: Sequence[Cohort]) -> list[Throughput]:
        start = time.monotonic()
        found = self._inner.measure(cohorts)
        self.seen["measuring"] += time.monotonic() - start
        return found

    def run(self, jobs: Sequence[Job], attempts: int, begun: Mapping[Pair, str]) -> Iterator[Event]:
        from benchmark.execution.jobs import Finished, Started

        since: dict[str, float] = {}
        for event in self._inner.run(jobs, attempts, begun):
            if isinstance(event, Started):
                since[event.job.name] = time.monotonic()
            elif isinstance(event, Finished):
                self.seen["cohorts"].append((since[event.job.name], time.monotonic()))
            yield event

    def close(self) -> None:
        self._inner.close()


if __name__ == "__main__":
    main()
