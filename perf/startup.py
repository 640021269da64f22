"""How soon commands answer: `python -m perf.startup [--quick]`.

Each command in processes of its own, with bytecode cached by a first call that does not count:
seconds of the clock and of the processor, the least of the calls. What timm holds is kept in the
user's cache folder; cold is a call that finds an empty one, as the first on a machine does.
Prints markdown: a table of goals.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

CONFIGS = Path(__file__).parent.parent / "configs"
PLAN = ("plan", "--no-measure")
COMMANDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("--help",), 0.3),
    (("list", "initializers"), 0.5),
    (("list", "rewirings"), 0.5),
    (("list", "datasets"), 0.5),
    (("list", "architectures"), 0.5),
    (("list", "optimizers"), 0.5),
    ((*PLAN, str(CONFIGS / "quickstart.yaml")), 3.0),
    ((*PLAN, str(CONFIGS / "paper.yaml")), 3.0),
)
QUICK = (0, 1, 4)
USE_TIMM = ("architectures", "optimizers", "plan")


def main() -> None:
    """Time the commands and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the light commands, one call each")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    commands = [COMMANDS[place] for place in QUICK] if arguments.quick else COMMANDS
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for command, goal in commands:
            name = " ".join(["initbench", *(Path(part).name for part in command)])
            if not arguments.quick and set(command) & set(USE_TIMM):
                wall, cpu = seconds(command, 2, folder, cold=True)
                found.append({"command": f"{name}, cold", "wall": wall, "cpu": cpu})
            wall, cpu = seconds(command, 1 if arguments.quick else 5, folder)
            found.append({"command": name, "goal": goal, "wall": wall, "cpu": cpu})
    print(table(found))
    if arguments.json:
        from perf.versions import versions

        content = json.dumps({**versions(), "commands": found}, indent=2)
        arguments.json.write_text(content + "\n", encoding="utf-8")


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return a row for each command, with its goal where it has one."""
    rows = [
        (
            row["command"],
            f"< {row['goal']:g} s" if "goal" in row else "",
            f"{row['wall']:.2f} s",
            f"{row['cpu']:.2f} s",
            ("yes" if row["cpu"] < row["goal"] else "no") if "goal" in row else "",
        )
        for row in found
    ]
    headers = ("command", "goal", "wall", "CPU", "CPU within the goal")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def seconds(
    command: tuple[str, ...], calls: int, folder: str, cold: bool = False
) -> tuple[float, float]:
    """Return the least wall and CPU seconds of some calls after a first one."""
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as caches:
        for call in range(calls + 1):
            environment["XDG_CACHE_HOME"] = str(Path(caches) / str(call if cold else 0))
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
