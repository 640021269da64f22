"""How soon commands answer: `python -m perf.startup [--quick]`.

Each command in processes of its own, with bytecode cached by a first call that does not count:
seconds of the clock and of the processor, the least of the calls. Prints markdown.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

CONFIGS = Path(__file__).parent.parent / "configs"
COMMANDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("--help",), 0.3),
    (("list", "initializers"), 0.5),
    (("list", "rewirings"), 0.5),
    (("list", "datasets"), 0.5),
    (("list", "architectures"), 0.5),
    (("list", "optimizers"), 0.5),
    (("plan", str(CONFIGS / "quickstart.yaml"), "--no-measure"), 3.0),
    (("plan", str(CONFIGS / "paper.yaml"), "--no-measure"), 3.0),
)


def main() -> None:
    """Time the commands and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the light commands, one call each")
    arguments = parser.parse_args()
    commands = COMMANDS[:2] if arguments.quick else COMMANDS
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for command, goal in commands:
            wall, cpu = seconds(command, 1 if arguments.quick else 5, folder)
            met = "yes" if cpu <= goal else "no"
            name = " ".join(["initbench", *(Path(part).name for part in command)])
            rows.append((name, f"{goal:g}", f"{wall:.2f}", f"{cpu:.2f}", met))
    headers = ("command", "goal, s", "wall, s", "CPU, s", "CPU within the goal")
    print(tabulate(rows, headers, tablefmt="pipe", disable_numparse=True))


def seconds(command: tuple[str, ...], calls: int, folder: str) -> tuple[float, float]:
    """Return the least wall and CPU seconds of some calls after a first one."""
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    walls, cpus = [], []
    for _ in range(calls + 1):
        before, start = cpu_of_children(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "benchmark", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
        )
        walls.append(time.perf_counter() - start)
        cpus.append(cpu_of_children() - before)
    return min(walls[1:]), min(cpus[1:])


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
