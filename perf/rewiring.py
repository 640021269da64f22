"""How fast PA rewiring is: `python -m perf.rewiring [--quick] [--out FILE]`.

A whole ResNet-50 against the published algorithm on numpy's `Generator.choice` and against
`numpy.sort` of every row in both directions; every layer of timm's small test models; one thread
against two; what compiling and memory cost. `--quick` takes a ResNet of a fifth of the weights.

Times on one thread are CPU seconds of that thread, which other programs on the machine hardly
move; those of several threads are given as wall time and as CPU seconds of the busiest thread.
Prints markdown tables and writes a JSON file with versions and hardware.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from tabulate import tabulate

import benchmark
from benchmark.execution.provenance import provenance
from benchmark.layers import describe
from benchmark.rewirings.balancing import balance, balance_as_published

REPEATS = 5

IN_A_FRESH_PROCESS = """
import time, numpy
start = time.process_time()
import numba
imported = time.process_time()
from benchmark.rewirings.balancing import balance
balance(numpy.ones((4, 4), numpy.float32), numpy.random.default_rng(0))
print(imported - start, time.process_time() - imported)
"""

MEMORY = """
import resource, numpy, torch, benchmark
torch.set_num_threads(1)
benchmark.initialize(torch.nn.Linear(64, 64), "timm+pa")
model = torch.nn.Linear(8192, 8192)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
benchmark.initialize(model, "timm+pa")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / (4 * 8192 * 8192))
"""


def main() -> None:
    """Measure, print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--out", type=Path, default=Path("results/perf/rewiring.json"))
    arguments = parser.parse_args()
    name = "resnet10t" if arguments.quick else "resnet50"
    found: dict[str, Any] = {
        "command": f"python -m perf.rewiring{' --quick' if arguments.quick else ''}",
        "provenance": provenance(torch.device("cpu")),
        "numba": version("numba"),
        "cores": len(os.sched_getaffinity(0)),
        "platform": platform.platform(),
        "load_average_before": os.getloadavg(),
        "compile": compile_costs(),
        "network": whole_network(name),
        "small_layers": small_layers(),
        "threads": threads(name),
        "copies_of_the_largest_layer": float(fresh_process(MEMORY)[0]),
    }
    found["load_average_after"] = os.getloadavg()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(report(found))


def fresh_process(code: str, **environment: str) -> list[str]:
    """Run Python code in a process of its own and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split()


def compile_costs() -> dict[str, float]:
    """CPU seconds of the first call in the first process of a machine and in the next one."""
    with tempfile.TemporaryDirectory() as folder:
        first = fresh_process(IN_A_FRESH_PROCESS, NUMBA_CACHE_DIR=folder)
        second = fresh_process(IN_A_FRESH_PROCESS, NUMBA_CACHE_DIR=folder)
    return {
        "first_process": float(first[1]),
        "next_process": float(second[1]),
        "import_numba": float(second[0]),
    }


def matrices(name: str) -> list[np.ndarray]:
    """Return the matrices [out, in] of a network's layers, Kaiming normal."""
    torch.set_num_threads(1)
    model = timm.create_model(name)
    benchmark.initialize(model, "kaiming_normal", seed=0)
    return [
        weight.detach().reshape(len(weight), -1).numpy().copy() for _, weight in describe(model)
    ]


def cpu_seconds(function: Callable[[np.ndarray], object], layers: list[np.ndarray]) -> float:
    """CPU seconds that the function takes for copies of all layers, on this thread."""
    seconds = 0.0
    for layer in layers:
        own = layer.copy()
        start = time.thread_time()
        function(own)
        seconds += time.thread_time() - start
    return seconds


def fast(matrix: np.ndarray) -> None:
    """Rewire by `pa`."""
    balance(matrix, np.random.default_rng(0))


def published(matrix: np.ndarray) -> None:
    """Rewire by `pa_reference`."""
    balance_as_published(matrix, np.random.default_rng(0))


def sort_rows_and_columns(matrix: np.ndarray) -> None:
    """Sort every row, and every row of a contiguous transpose."""
    np.sort(matrix, axis=1)
    np.sort(np.ascontiguousarray(matrix.T), axis=1)


def whole_network(name: str) -> dict[str, Any]:
    """Time all layers of a network: the fast ones as the least of some runs, the slow one once."""
    layers = matrices(name)
    fast(layers[0].copy())
    return {
        "name": name,
        "layers": len(layers),
        "weights": sum(layer.size for layer in layers),
        "pa": min(cpu_seconds(fast, layers) for _ in range(REPEATS)),
        "sort": min(cpu_seconds(sort_rows_and_columns, layers) for _ in range(REPEATS)),
        "reference": cpu_seconds(published, layers),
    }


def small_layers() -> list[dict[str, Any]]:
    """Time every layer shape of timm's test models in both modes."""
    shapes: dict[tuple[int, int], str] = {}
    for name in timm.list_models("test_*"):
        for layer, weight in describe(timm.create_model(name)):
            shape = (weight.shape[0], weight[0].numel())
            shapes.setdefault(shape, f"{name} {layer.name}")
    found = []
    for shape, where in shapes.items():
        matrix = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
        reference, pa = (
            min(cpu_seconds(function, [matrix]) for _ in range(REPEATS))
            for function in (published, fast)
        )
        found.append({"shape": shape, "where": where, "reference": reference, "pa": pa})
    return found


def threads(name: str) -> list[dict[str, float]]:
    """Rewire a network's layers, largest first, in pools of one and of two threads."""
    layers = sorted(matrices(name), key=lambda layer: -layer.size)
    found = []
    for count in (1, 2):
        for _ in range(REPEATS):
            copies = [layer.copy() for layer in layers]
            busy: dict[int, float] = defaultdict(float)

            def work(matrix: np.ndarray, busy: dict[int, float] = busy) -> None:
                start = time.thread_time()
                fast(matrix)
                busy[threading.get_ident()] += time.thread_time() - start

            start = time.perf_counter()
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(work, copies))
            wall = time.perf_counter() - start
            found.append({"threads": count, "wall": wall, "busiest": max(busy.values())})
    return found


def report(found: dict[str, Any]) -> str:
    """Return the markdown tables."""
    network, worst = found["network"], min(found["small_layers"], key=_speedup)
    wall, busiest = (
        min(run[key] for run in found["threads"] if run["threads"] == 1)
        / min(run[key] for run in found["threads"] if run["threads"] == 2)
        for key in ("wall", "busiest")
    )
    costs = found["compile"]
    weights, title = network["weights"], network["name"]
    per_weight = 1e9 / weights
    times = [
        (title, f"{network[key]:.3f}", f"{network[key] * per_weight:.1f}", words)
        for key, words in (
            ("reference", "published algorithm, `Generator.choice`"),
            ("sort", "`numpy.sort`, every row, both directions"),
            ("pa", "`pa`"),
        )
    ]
    goals = [
        (f"{title}: reference / pa", ">= 50", f"{network['reference'] / network['pa']:.1f}"),
        (f"{title}: pa / numpy.sort", "<= 4", f"{network['pa'] / network['sort']:.2f}"),
        (f"{title}: 1 thread / 2, wall time", ">= 1.7", f"{wall:.2f}"),
        (f"{title}: 1 thread / busiest of 2, CPU time", ">= 1.7", f"{busiest:.2f}"),
        (
            f"layers of test_*: least reference / pa ({worst['where']},"
            f" {'x'.join(map(str, worst['shape']))})",
            ">= 1",
            f"{_speedup(worst):.1f}",
        ),
        ("first call on a machine, CPU s", "once", f"{costs['first_process']:.1f}"),
        ("first call in the next process, CPU s", "", f"{costs['next_process']:.2f}"),
        (
            "extra memory, in copies of the largest layer",
            "<= 2",
            f"{found['copies_of_the_largest_layer']:.2f}",
        ),
    ]
    headers = ("network", "CPU s", "ns a weight", "what")
    tables = (
        tabulate(times, headers, tablefmt="pipe", disable_numparse=True),
        tabulate(goals, ("what", "goal", "measured"), tablefmt="pipe", disable_numparse=True),
    )
    load = found["load_average_before"][0]
    where = f"{found['provenance']['device']}, {found['cores']} cores, load {load:.1f}"
    return "\n\n".join((*tables, where))


def _speedup(layer: dict[str, Any]) -> float:
    return float(layer["reference"] / layer["pa"])


if __name__ == "__main__":
    main()
