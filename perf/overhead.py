"""What a grid costs beside its training: one run, start-up, board and all.

    python -m perf.overhead configs/quickstart.yaml

Overhead is 1 - (sum of the trials' seconds) / (workers x wall time), where a trial's seconds are
those of initialisation, rewiring and training with validation. Prints a markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate


def main() -> None:
    """Run a config in a fresh folder and print wall time, training time and overhead."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = ["run", arguments.config, "--workers", str(arguments.workers), "--out", folder]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchmark", *command], check=True)
        wall = time.perf_counter() - start
        lines = (Path(folder) / "records.jsonl").read_text(encoding="utf-8").splitlines()
    busy = sum(sum(json.loads(line)["seconds"].values()) for line in lines)
    overhead = 1 - busy / (arguments.workers * wall)
    headers = ("trials", "workers", "wall, s", "sum of trials, s", "overhead, %")
    row = (len(lines), arguments.workers, f"{wall:.1f}", f"{busy:.1f}", f"{100 * overhead:.1f}")
    print(tabulate([row], headers, tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
