"""A run killed with -9 three times and resumed, against one left alone: the same bytes?

    python -m perf.interrupted configs/quickstart.yaml

Both follow the cohorts that the one left alone has planned: which of them are fastest is
measured, and would differ from run to run. The driver is killed when a quarter, a half and three
quarters of the trials are on the disk. Compares trials.csv without its column of seconds, and
prints a markdown table.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from benchmark.results.lines import COHORTS


def start(config: str, folder: Path) -> subprocess.Popen[str]:
    """Start a run."""
    command = [sys.executable, "-m", "benchmark", "run", config, "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def records(folder: Path) -> int:
    """Count the records on the disk."""
    path = folder / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of trials.csv without the seconds."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def main() -> None:
    """Kill and resume one run, let another finish, compare what they leave."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config")
    config = parser.parse_args().config
    with tempfile.TemporaryDirectory() as temporary:
        alone, killed = Path(temporary, "alone"), Path(temporary, "killed")
        output, _ = start(config, alone).communicate()
        total = len(json.loads((alone / "grid.json").read_text(encoding="utf-8"))["trials"])
        killed.mkdir()
        shutil.copy(alone / COHORTS, killed / COHORTS)
        kills = []
        for quarter in (1, 2, 3):
            run = start(config, killed)
            while run.poll() is None and records(killed) < quarter * total // 4:
                time.sleep(0.05)
            if run.poll() is not None:
                sys.exit(f"the run ended before it could be killed: {run.communicate()[0]}")
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills.append(records(killed))
        output, _ = start(config, killed).communicate()
        same = table(alone) == table(killed)
        twice = records(killed) - total
    headers = ("trials", "records when killed", "trained twice", "trials.csv without seconds")
    row = (total, ", ".join(map(str, kills)), twice, "identical" if same else "DIFFERENT")
    print(tabulate([row], headers, tablefmt="pipe", disable_numparse=True))
    if not same:
        sys.exit(output)


if __name__ == "__main__":
    main()
