"""A grid under random faults every few seconds, against the same grid undisturbed: the same bytes?

    python -m perf.chaos [--quick] [--seed N]

A cluster of a head and three nodes is started on this machine. Workers, nodes and the driver are
killed, frozen and interrupted in a seeded order while the grid of small networks on digits is
trained; whatever ends the driver, it is started again. Prints a markdown table of the faults, then
whether any trial is missing or has two records, and whether trials.csv (seconds aside) is the same.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from tabulate import tabulate

CONFIG = """\
name: chaos
grid:
  datasets: [digits]
  architectures: ["plain_cnn(depth=1, widths=[4, 8])"]
  initializers: [timm, kaiming_normal]
  rewirings: [none, pa]
  seeds: {seeds}
recipe: {{epochs: 1, batch_size: 32, optimizer: adamw, learning_rate: 0.01, image_size: 16}}
execution: {{cohort_size: 2, attempts: 6}}
"""

NODES, CPUS = 3, 1
RESULTS = ("ok", "diverged")
MOST_STARTS = 200
FAST = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
FAULTS = (
    "worker killed",
    "worker killed",
    "node killed",
    "node frozen",
    "driver killed",
    "driver SIGTERM",
    "driver Ctrl-C",
    "driver Ctrl-C twice",
    "head killed",
)


def persistently(start: Callable[[], Any]) -> Any:
    """Start a node, again where this machine is too busy to do it in Ray's 30 seconds."""
    for _ in range(4):
        with contextlib.suppress(Exception):
            return start()
    return start()


class Grid:
    """The cluster and the driver that runs the grid on it into a folder."""

    def __init__(self, config: Path, folder: Path) -> None:
        self._config, self.folder = config, folder
        self._cluster: Any = None
        self._log = folder.with_suffix(".log").open("w", encoding="utf-8")
        self.codes: Counter[int] = Counter()
        self.driver: subprocess.Popen[bytes] | None = None
        self.start_cluster()

    def start_cluster(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": FAST}
        self._cluster = persistently(lambda: Cluster(initialize_head=True, head_node_args=head))
        for _ in range(NODES):
            self.add_node()

    def add_node(self) -> None:
        persistently(lambda: self._cluster.add_node(num_cpus=CPUS))

    def stop_cluster(self) -> None:
        for node in self._cluster.list_all_nodes():
            for processes in node.all_processes.values():
                for each in processes:
                    with contextlib.suppress(OSError):
                        os.kill(each.process.pid, signal.SIGKILL)
        with contextlib.suppress(Exception):
            self._cluster.shutdown()

    def start_driver(self) -> None:
        command = [sys.executable, "-m", "benchmark", "run", str(self._config)]
        command += ["--out", str(self.folder), "--address", self._cluster.address]
        self.driver = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def records(self) -> int:
        """Count the records on the disk."""
        path = self.folder / "records.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def workers(self) -> list[int]:
        """Return the process ids of this cluster's workers."""
        parents, found = {}, []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
                if b"WorkerActor" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))

        def ours(process: int) -> bool:
            while process in parents and process != os.getpid():
                process = parents[process]
            return process == os.getpid()

        return [worker for worker in found if ours(worker)]

    def strike(self, fault: str, chance: random.Random) -> None:
        """Provoke a fault."""
        assert self.driver is not None
        nodes = sorted(self._cluster.worker_nodes, key=lambda node: node.node_id)
        match fault.split():
            case ["worker", _]:
                if workers := self.workers():
                    os.kill(chance.choice(workers), signal.SIGKILL)
            case ["node", how]:
                node = chance.choice(nodes)
                raylet = node.all_processes["raylet"][0].process.pid
                if how == "frozen":
                    os.kill(raylet, signal.SIGSTOP)
                    time.sleep(5.0)  # Longer than the health checks wait.
                os.kill(raylet, signal.SIGKILL)
                self._cluster.remove_node(node, allow_graceful=False)
                self.add_node()
            case ["head", _]:
                self._cluster.head_node.all_processes["gcs_server"][0].process.kill()
                self.driver.wait(timeout=120)
                self.stop_cluster()
                self.start_cluster()
            case ["driver", "killed"]:
                self.driver.kill()
            case ["driver", "SIGTERM"]:
                self.driver.terminate()
            case ["driver", *rest]:
                os.killpg(self.driver.pid, signal.SIGINT)
                if rest[-1] == "twice":
                    time.sleep(0.2)
                    os.killpg(self.driver.pid, signal.SIGINT)

    def finish(self, chance: random.Random | None, every: float) -> Counter[str]:
        """Run the grid to its end, under faults if there is chance; return the faults."""
        faults: Counter[str] = Counter()
        order: Iterator[str] = iter(())
        before, next_fault = -1, 0.0
        self.start_driver()
        while True:
            assert self.driver is not None
            if (code := self.driver.poll()) is not None:
                self.codes[code] += 1
                if code == 0:
                    return faults
                if self.codes.total() >= MOST_STARTS:
                    sys.exit(f"the driver ends again and again: {dict(self.codes)}")
                before = -1
                self.start_driver()
            now = time.monotonic()
            if before < 0:
                # Faults begin once the driver has written something.
                before = self.records()
                next_fault = 0.0
            elif chance and self.records() > before and now >= next_fault:
                if next_fault:
                    fault = next(order, "")
                    if not fault:
                        order = iter(chance.sample(FAULTS, len(FAULTS)))
                        fault = next(order)
                    faults[fault] += 1
                    print(f"{self.records()} records: {fault}", file=sys.stderr)
                    self.strike(fault, chance)
                next_fault = time.monotonic() + every * chance.uniform(0.2, 1.0)
            time.sleep(0.05)


def table(folder: Path) -> list[dict[str, str]]:
    """Return the rows of trials.csv without the seconds."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def main() -> None:
    """Train the grid twice, once under faults, and compare what the two leave."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100 trials instead of 500")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Workers as urgent as everything else: where a machine is busy, they would starve behind it.
    os.environ |= {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
        "RAY_worker_niceness": "0",
    }
    trials = 100 if arguments.quick else 500
    tables, faults, codes, lines = [], Counter[str](), Counter[int](), []
    with tempfile.TemporaryDirectory() as temporary:
        config = Path(temporary, "chaos.yaml")
        config.write_text(CONFIG.format(seeds=trials // 4), encoding="utf-8")
        for name in ("undisturbed", "disturbed"):
            grid = Grid(config, Path(temporary, name))
            chance = random.Random(arguments.seed) if name == "disturbed" else None
            start = time.monotonic()
            try:
                faults = grid.finish(chance, every=3.0)
            finally:
                grid.stop_cluster()
            codes = grid.codes
            seconds = time.monotonic() - start
            written = (grid.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
            records = [json.loads(line) for line in written]
            good = Counter(each["trial"] for each in records if each["status"] in RESULTS)
            other = Counter(each["status"] for each in records if each["status"] not in RESULTS)
            twice = sum(count > 1 for count in good.values())
            lines.append((name, f"{seconds:.0f}", len(records), len(good), twice, dict(other)))
            tables.append(table(grid.folder))
    print(tabulate(sorted(faults.items()), ("fault", "times"), tablefmt="pipe"))
    headers = ("run", "s", "records", "trials with a result", "with two", "other records")
    print("\n" + tabulate(lines, headers, tablefmt="pipe", disable_numparse=True))
    same = tables[0] == tables[1]
    print(f"\nexit codes of the disturbed run's drivers: {dict(sorted(codes.items()))}")
    print(f"trials.csv without seconds: {'identical' if same else 'DIFFERENT'}")
    if not same or any(line[4] for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
