"""A grid under random faults every few seconds, against the same grid undisturbed: the same bytes?

    python -m perf.chaos [--quick] [--seed N]

A cluster of a head and three nodes is started on this machine. Workers, nodes and the driver are
killed, frozen and interrupted in a seeded order while the grid of small networks on digits is
trained; whatever ends the driver, it is started again, and so is the cluster whose head is killed.
Prints a markdown table of the faults and of what came of them, then whether any trial is missing or
has two records, and whether trials.csv (seconds aside) is the same.
"""

from __future__ import annotations

import argparse
import contextlib
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from tabulate import tabulate

from perf.interrupted import table

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
MOST_SECONDS_TO_END = 120.0
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


@dataclass
class Struck:
    """A fault that was provoked: how it ended the driver, if it did, and the cohorts it cost."""

    fault: str
    code: int | None = None
    tried_again: int = 0


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
        self.log = folder.with_suffix(".log")
        self._output = self.log.open("w", encoding="utf-8")
        self.starts = 1
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
            command, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
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

    def strike(self, fault: str, chance: random.Random) -> bool:
        """Provoke a fault; return whether there was something to strike."""
        assert self.driver is not None
        nodes = sorted(self._cluster.worker_nodes, key=lambda node: node.node_id)
        match fault.split():
            case ["worker", _]:
                workers = self.workers()
                if not workers:
                    return False
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
                self.driver.wait(timeout=MOST_SECONDS_TO_END)
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
        if fault.startswith("driver"):
            self.driver.wait(timeout=MOST_SECONDS_TO_END)
        return True

    def tried_again(self) -> int:
        """Count the cohorts that drivers have said to be tried again."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(", tried again: ")

    def finish(self, chance: random.Random | None, every: float) -> list[Struck]:
        """Run the grid to its end, under faults if there is chance; return the faults."""
        struck: list[Struck] = []
        order: Iterator[str] = iter(())
        before, next_fault = -1, 0.0
        self.start_driver()
        while True:
            assert self.driver is not None
            if (code := self.driver.poll()) is not None:
                self.note(struck, code)
                if code == 0:
                    return struck
                self.starts += 1
                if self.starts >= MOST_STARTS:
                    sys.exit(f"the driver ends again and again: {struck}")
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
                    self.note(struck, None)
                    print(f"{self.records()} records: {fault}", file=sys.stderr, flush=True)
                    if self.strike(fault, chance):
                        struck.append(Struck(fault))
                next_fault = time.monotonic() + every * chance.uniform(0.2, 1.0)
            time.sleep(0.05)

    def note(self, struck: list[Struck], code: int | None) -> None:
        """Say of the last fault what has come of it by now."""
        if struck:
            last, earlier = struck[-1], struck[:-1]
            last.tried_again = self.tried_again() - sum(each.tried_again for each in earlier)
            last.code = code if last.code is None else last.code
        elif code:
            sys.exit(f"the driver ended with {code} before any fault: see {self.log}")


def outcomes(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what training came to, by trial: all numbers of a record but the seconds."""
    return {
        each["trial"]: {
            **{key: each[key] for key in ("accuracy", "test_loss", "epoch1_accuracy", "strength")},
            **{key: values for key, values in each["curves"].items() if key != "seconds"},
        }
        for each in records
        if each["status"] in RESULTS
    }


def outcome_table(struck: list[Struck]) -> str:
    """Return a row for each kind of fault: how often, and what came of it."""
    rows = []
    for fault in dict.fromkeys(FAULTS):
        own = [each for each in struck if each.fault == fault]
        codes = Counter(each.code for each in own if each.code is not None)
        ended = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
        rows.append((fault, len(own), ended or "-", sum(each.tried_again for each in own)))
    headers = ("fault", "times", "driver's exit code", "cohorts tried again")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def main() -> None:
    """Train the grid twice, once under faults, and compare what the two leave."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100 trials instead of 500")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for what the runs leave")
    arguments = parser.parse_args()
    # Workers as urgent as everything else: where a machine is busy, they would starve behind it.
    os.environ |= {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
        "RAY_worker_niceness": "0",
    }
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True, parents=True)
        sys.exit(compare(folder, 100 if arguments.quick else 500, arguments.seed))


def compare(folder: Path, trials: int, seed: int) -> int:
    """Run both grids into a folder, print what came of them, and return the exit code."""
    config = folder / "chaos.yaml"
    config.write_text(CONFIG.format(seeds=trials // 4), encoding="utf-8")
    tables, numbers, lines = [], [], []
    for name in ("undisturbed", "disturbed"):
        grid = Grid(config, folder / name)
        chance = random.Random(seed) if name == "disturbed" else None
        start = time.monotonic()
        try:
            struck = grid.finish(chance, every=3.0)
        finally:
            grid.stop_cluster()
        seconds = time.monotonic() - start
        written = (grid.folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in written]
        good = Counter(each["trial"] for each in records if each["status"] in RESULTS)
        other = Counter(each["status"] for each in records if each["status"] not in RESULTS)
        twice = sum(count > 1 for count in good.values())
        lines.append((name, f"{seconds:.0f}", len(records), len(good), twice, dict(other)))
        tables.append(table(grid.folder))
        numbers.append(outcomes(records))
    print(outcome_table(struck))
    headers = ("run", "s", "records", "trials with a result", "with two", "other records")
    print("\n" + tabulate(lines, headers, tablefmt="pipe", disable_numparse=True))
    whole = all(
        (len(found), line[4]) == (trials, 0) for found, line in zip(numbers, lines, strict=True)
    )
    same = tables[0] == tables[1] and numbers[0] == numbers[1]
    verdict = "identical" if same else "DIFFERENT"
    print(f"\ntrials.csv and all numbers of the records, seconds aside: {verdict}")
    return 0 if same and whole else 1


if __name__ == "__main__":
    main()
