"""The same grid with what one would use instead: `python -m perf.against_ray_tune [--quick]`.

The quickstart's models and initializers, without rewiring, at one recipe, on the digits at 8 pixels
and on a part of Fashion-MNIST at 28 (Debian's dataset-fashion-mnist, the folder --data-dir, or
generated files of the same format where there are none), three ways:

* `initbench run`, start-up, board and all;
* Ray Tune with a DataLoader and timm, one trial a process (`perf/ray_tune_script.py`);
* that script's plain loop in one process, with as many threads as torch takes.

Takes `pip install 'ray[tune]'` and, on two idle cores, ten minutes or so. Wall time is what counts
on a machine that does nothing else; CPU time is of all processes. Accuracies must agree: of each
model and initializer, the difference of means and its interval, 95 % for all of a data set's
together (Bonferroni). Prints markdown; stores JSON; the exit code is 1 where accuracies disagree.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from perf.overhead import PHASES, phases
from perf.processes import Cost, cost_of
from perf.ray_tune_grid import DATA, files_of_fashion, write_config, write_script_grid

INITIALIZERS = ("timm", "kaiming_normal", "orthogonal")
WAYS = ("initbench", "Ray Tune", "loop")
GOAL = 8


def main() -> None:
    """Run every way on every data set; print the tables, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one epoch of four trials on digits")
    parser.add_argument("--seeds", type=int, help="of each data set")
    parser.add_argument("--data", nargs="+", choices=list(DATA))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--generated", action="store_true", help="no files of Fashion-MNIST")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.data or (["digits"] if arguments.quick else list(DATA)):
        found[name] = compare(name, _grid(name, arguments), arguments.data_dir, arguments.generated)
    for name, ways in found.items():
        tables = (costs(ways), parts(ways), where_initbench(ways), agreement(ways))
        print(f"## {name}\n\n" + "\n\n".join(tables) + "\n")
    print(verdicts(found))
    if arguments.json:
        from perf.versions import versions

        content = json.dumps({**versions(), "data": DATA, "found": found}, indent=2)
        arguments.json.write_text(content + "\n", encoding="utf-8")
    if not all(agrees(ways) for ways in found.values()):
        raise SystemExit(1)


def _grid(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    grid = {**DATA[name], "initializers": INITIALIZERS}
    grid["recipe"] = {**grid["recipe"], "warmup_epochs": 1}
    if arguments.quick:
        grid |= {"models": grid["models"][2:], "initializers": INITIALIZERS[:2], "seeds": 2}
        grid["recipe"] |= {"epochs": 1, "warmup_epochs": 0}
    return {**grid, "seeds": arguments.seeds or grid["seeds"]}


def compare(
    name: str, grid: dict[str, Any], data_dir: Path | None, generated: bool
) -> dict[str, dict[str, Any]]:
    """Return, of every way, its cost and its trials."""
    found: dict[str, dict[str, Any]] = {}
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if name == "fashion":
            data_dir = files_of_fashion(folder, data_dir, generated)
        config = write_config(folder, name, grid, data_dir)
        script = write_script_grid(folder, name, grid, data_dir)
        for way in WAYS:
            start = time.monotonic()
            if way == "initbench":
                out, marks = folder / "out", folder / "marks.json"
                asked = [config, out, marks, "execution.device=cpu", f"execution.workers={cores}"]
                cost = cost_of([sys.executable, "-m", "perf.overhead_run", *map(str, asked)])
                lines = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
                trials = [_of_record(json.loads(line)) for line in lines]
            else:
                mode = "tune" if way == "Ray Tune" else "loop"
                cost = cost_of([sys.executable, "-m", "perf.ray_tune_script", mode, str(script)])
                trials = list(_printed(cost))
            workers = 1 if way == "loop" else cores
            found[way] = {"wall": cost.wall, "cpu": cost.cpu, "workers": workers, "trials": trials}
            if way == "initbench":
                training = sum(sum(trial["seconds"].values()) for trial in trials)
                seen = json.loads(marks.read_text(encoding="utf-8"))
                ended = start + cost.wall
                found[way]["phases"] = phases(seen, workers, start, ended, training)
    return found


def _of_record(record: dict[str, Any]) -> dict[str, Any]:
    if record["status"] not in ("ok", "diverged"):
        raise SystemExit(f"a trial of initbench ended as {record['status']}: {record['message']}")
    names = ("architecture", "initializer", "seed", "accuracy", "seconds")
    return {name: record[name] for name in names}


def _printed(cost: Cost) -> Iterator[dict[str, Any]]:
    for line in cost.output.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def costs(ways: dict[str, dict[str, Any]]) -> str:
    """Return a table of the ways: trials per hour, and how many times those of Ray Tune."""
    reference = ways["Ray Tune"]
    rows = [
        (
            way,
            len(found["trials"]),
            f"{found['wall']:.1f}",
            f"{3600 * len(found['trials']) / found['wall']:,.0f}",
            f"{reference['wall'] / found['wall']:.1f}",
            f"{found['cpu']:.1f}",
            f"{reference['cpu'] / found['cpu']:.1f}",
        )
        for way, found in ways.items()
    ]
    headers = ("way", "trials", "wall, s", "trials/h", "x Ray Tune", "CPU, s", "x Ray Tune, CPU")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def parts(ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the seconds that trials report, and of all that the workers had."""
    rows = []
    for way, found in ways.items():
        sums: dict[str, float] = defaultdict(float)
        for trial in found["trials"]:
            for part, seconds in trial["seconds"].items():
                sums[part] += seconds
        whole = found["workers"] * found["wall"]
        rest = whole - sum(sums.values())
        shown = [f"{part} {seconds:.1f}" for part, seconds in sums.items()]
        rows.append((way, ", ".join(shown), f"{rest:.1f}", f"{whole:.1f}"))
    headers = ("way", "seconds of all trials, by part", "beside trials, s", "workers x wall, s")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def where_initbench(ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of the phases of initbench's run, as `perf.overhead` has them."""
    found = ways["initbench"]
    whole = found["workers"] * found["wall"]
    rows = [
        (words, f"{found['phases'][phase]:.1f}", f"{100 * found['phases'][phase] / whole:.1f}")
        for phase, words in PHASES.items()
    ]
    headers = ("phase of initbench", "worker seconds", "%")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def verdicts(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the table of goals."""
    rows = []
    for name, ways in found.items():
        ratio = ways["Ray Tune"]["wall"] / ways["initbench"]["wall"]
        rows.append((f"{name}: trials per hour, times Ray Tune's", f">= {GOAL}", f"{ratio:.1f}"))
        agree = "yes" if agrees(ways) else "no"
        rows.append((f"{name}: accuracies agree within their intervals", "yes", agree))
    return tabulate(rows, ("what", "goal", "measured"), tablefmt="pipe", disable_numparse=True)


Difference = tuple[str, str, dict[str, float], float, float]
"""Model, initializer, mean accuracy by way, initbench's difference to Ray Tune, half its width."""


def differences(ways: Mapping[str, Mapping[str, Any]]) -> list[Difference]:
    """Compare mean accuracies of each model and initializer."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for way, found in ways.items():
        for trial in found["trials"]:
            key = trial["architecture"], trial["initializer"]
            values[key][way].append(trial["accuracy"] or 0.0)
    return [
        (
            *key,
            {way: statistics.mean(own[way]) for way in ways},
            *interval(own["initbench"], own["Ray Tune"], 1 - 0.05 / len(values)),
        )
        for key, own in values.items()
    ]


def agrees(ways: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether initbench trains to the accuracies that Ray Tune does."""
    return all(abs(difference) <= half for *_, difference, half in differences(ways))


def agreement(ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of mean accuracies, and whether initbench's are those of the others."""
    rows = [
        (
            model,
            initializer,
            *(f"{100 * mean:.2f}" for mean in means.values()),
            f"{100 * difference:+.2f} ± {100 * half:.2f}",
            "yes" if abs(difference) <= half else "no",
        )
        for model, initializer, means, difference, half in differences(ways)
    ]
    headers = ("model", "initializer", *ways, "initbench - Ray Tune", "agree")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def interval(
    one: Iterable[float], other: Iterable[float], confidence: float = 0.95
) -> tuple[float, float]:
    """Return the difference of two means and the half width of Welch's interval."""
    from scipy import stats

    a, b = list(one), list(other)
    errors = [statistics.variance(values) / len(values) for values in (a, b)]
    total = sum(errors)
    difference = statistics.mean(a) - statistics.mean(b)
    if total == 0:
        return difference, 0.0
    scale = sum(e**2 / (len(v) - 1) for e, v in zip(errors, (a, b), strict=True))
    quantile = stats.t.ppf((1 + confidence) / 2, total**2 / scale)
    return difference, float(quantile) * math.sqrt(total)


if __name__ == "__main__":
    main()
