"""A driver ended at 200 random moments, and at every byte of a record: the same bytes at last?

    python -m perf.killed [--moments N] [--seed N]

The real driver and store, with an executor in the process and trials that take no time, so that
most of the time is spent writing. Half of the moments are a SIGKILL at a random time; the others
end the driver within a write, at a random byte: the size of files is limited, and the kernel ends
whoever writes beyond it (SIGXFSZ). After each, what the driver had reported as finished must be in
the store, and nothing twice; then the next driver goes on. A finished folder must have the bytes
of an undisturbed one. Last, the last record of a small grid is cut off at every byte, and the
driver resumed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Event, Finished, Settings, Started
from benchmark.execution.run import train_missing
from benchmark.grid import Grid
from benchmark.results.lines import COHORTS, MANIFEST, RECORDS
from benchmark.results.store import open_store, read_store
from perf.nothing import NullWorker, grid_of

TRIALS, COHORT = 200, 4
FILES = (RECORDS, COHORTS, MANIFEST)
OnEvent = Callable[[Event], None]


class NullExecutor(InlineExecutor):
    """Trains nothing, in the driver's own process."""

    @cached_property
    def _worker(self) -> Any:
        return NullWorker(self._settings)


def train(grid: Grid, folder: Path, on_event: OnEvent = lambda event: None) -> None:
    """Run the driver for what a folder lacks."""
    with open_store(str(folder), len(grid.trials)) as store:
        train_missing(grid, store, lambda: NullExecutor(Settings()), on_event=on_event)


def contents(folder: Path) -> list[bytes]:
    """Return what must not depend on where a driver was ended."""
    return [(folder / name).read_bytes() for name in FILES]


def ended(grid: Grid, folder: Path, end: Callable[[int], None], on_start: OnEvent) -> set[str]:
    """Run a driver in a process that `end` ends; return the trials it reported as finished.

    It reports a record once the store has taken it, as the display does.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:

        def report(event: Event) -> None:
            on_start(event)
            if isinstance(event, Finished):
                os.write(writing, "".join(f"{each.trial}\n" for each in event.records).encode())

        code = 1
        try:
            train(grid, folder, report)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    end(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL, -signal.SIGXFSZ):
        sys.exit(f"a driver ended by itself, with {code}")
    with os.fdopen(reading) as pipe:
        return set(pipe.read().split())


def at_a_time(most: float, chance: random.Random) -> Callable[[int], None]:
    """Return what kills a process at a random moment."""

    def end(child: int) -> None:
        time.sleep(chance.uniform(0.0, most))
        os.kill(child, signal.SIGKILL)

    return end


def at_a_byte(folder: Path, most: int, chance: random.Random) -> OnEvent:
    """Return what has the kernel end this process where it writes a random byte of the records."""
    beyond = chance.randrange(most)

    def limit(event: Event) -> None:
        if isinstance(event, Started) and resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0:
            size = (folder / RECORDS).stat().st_size if (folder / RECORDS).exists() else 0
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + beyond, resource.RLIM_INFINITY))

    return limit


@dataclass
class Tally:
    """What was found after the drivers had ended."""

    torn: int = 0
    reported: int = 0
    lost: int = 0
    twice: int = 0
    folders: int = 0
    different: int = 0

    def look(self, folder: Path, reported: set[str]) -> None:
        """Count what a driver left: half a line, reported records that are missing, doubles."""
        records = folder / RECORDS
        if not records.exists():
            self.lost += len(reported)
            return
        kept = Counter(record.trial for record in read_store(str(folder)).each_record())
        data = records.read_bytes()
        self.torn += bool(data) and not data.endswith(b"\n")
        self.reported += len(reported)
        self.lost += len(reported - kept.keys())
        self.twice += sum(count > 1 for count in kept.values())


def moments(at: Path, count: int, chance: random.Random) -> Tally:
    """End drivers so often; whenever a folder is whole, begin with the next one."""
    grid, found = grid_of(TRIALS, COHORT), Tally()
    start = time.monotonic()
    train(grid, at / "whole")
    seconds, expected = time.monotonic() - start, contents(at / "whole")
    two_cohorts = 2 * COHORT * len(expected[0]) // len(grid.trials)
    folder = at / "0"
    for moment in range(count):
        if moment % 2:
            limit = at_a_byte(folder, two_cohorts, chance)
            reported = ended(grid, folder, lambda child: None, limit)
        else:
            reported = ended(grid, folder, at_a_time(seconds / 5, chance), lambda event: None)
        found.look(folder, reported)
        if len(read_store(str(folder)).done()) == len(grid.trials) or moment == count - 1:
            train(grid, folder)
            found.look(folder, set())
            found.different += contents(folder) != expected
            found.folders += 1
            folder = at / str(found.folders)
    return found


def every_byte(at: Path) -> tuple[int, int]:
    """Cut the last record off at each of its bytes and resume; return how many, how many wrong."""
    grid = grid_of(8, COHORT)
    train(grid, at)
    expected = contents(at)
    records = expected[0]
    last = records.rindex(b"\n", 0, -1) + 1
    different = 0
    for end in range(last, len(records)):
        (at / RECORDS).write_bytes(records[:end])
        train(grid, at)
        different += contents(at) != expected
    return len(records) - last, different


def main() -> None:
    """End drivers, look at what they leave, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        at = Path(temporary)
        (at / "bytes").mkdir()
        found = moments(at, arguments.moments, random.Random(arguments.seed))
        cuts, wrong = every_byte(at / "bytes")
    headers = (
        *("drivers ended", "torn lines left", "records reported", "of them lost", "trials twice"),
        *("folders finished", "with other bytes", "cuts of one record", "with other bytes"),
    )
    row = (
        *(arguments.moments, found.torn, found.reported, found.lost, found.twice),
        *(found.folders, found.different, cuts, wrong),
    )
    print(tabulate([row], headers, tablefmt="pipe", disable_numparse=True))
    if found.lost or found.twice or found.different or wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
