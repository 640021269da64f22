"""The same grid with what one would use instead: `python -m perf.against_ray_tune [--quick]`.

The quickstart's models and initializers, without rewiring, at one recipe, on the digits and on a
tenth of Fashion-MNIST (Debian's dataset-fashion-mnist or the folder --data-dir), three ways:

* `initbench run`, start-up, board and all;
* Ray Tune with a DataLoader and timm, one trial a process (`perf/ray_tune_script.py`);
* that script's plain loop in one process, with as many threads as torch takes.

Takes `pip install 'ray[tune]'`. Wall time is what counts on a machine that does nothing else; CPU
time is of all processes. Accuracies must agree: of each model and initializer, the difference of
means and its 95 % interval. Prints markdown; stores JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tabulate import tabulate

from benchmark.spelling import parse_call
from perf.processes import Cost, cost_of

MODELS = ("test_resnet", "test_vit(depth=3, patch_size=2)", "plain_cnn")
INITIALIZERS = ("timm", "kaiming_normal", "orthogonal")
WAYS = ("initbench", "Ray Tune", "loop")
RECIPES = {
    "digits": {"epochs": 4, "batch_size": 32, "learning_rate": 0.004, "image_size": 8},
    "fashion": {"epochs": 2, "batch_size": 128, "learning_rate": 0.003, "image_size": 28},
}
WEIGHT_DECAY = 0.05
PLUGIN = """
from benchmark.datasets.fashion_mnist import fashion_mnist
from benchmark.datasets.images import ArrayImages, from_arrays
from benchmark.plugins import dataset


@dataset("fashion", summary="a tenth of Fashion-MNIST", source="arXiv:1708.07747", classes=10,
         channels=1, train_size=6000, test_size=1000)
def fashion(data_dir):
    whole = fashion_mnist(data_dir)
    parts = (whole.train, whole.test)
    return from_arrays(
        "fashion", 10, *(ArrayImages(p.pixels[::10].copy(), p.labels[::10].copy()) for p in parts)
    )
"""


def main() -> None:
    """Run every way on every data set; print the tables, store the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one epoch of few trials on digits")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    found = {}
    for name in ["digits"] if arguments.quick else arguments.data:
        recipe = RECIPES[name] | ({"epochs": 1} if arguments.quick else {})
        grid = {
            "models": MODELS[:1] if arguments.quick else MODELS,
            "initializers": INITIALIZERS[:2] if arguments.quick else INITIALIZERS,
            "seeds": 2 if arguments.quick else arguments.seeds,
        }
        found[name] = compare(name, recipe, grid, arguments.data_dir)
    for name, ways in found.items():
        print(f"## {name}\n\n{costs(ways)}\n\n{parts(ways)}\n\n{agreement(ways)}\n")
    if arguments.json:
        from perf.versions import versions

        content = json.dumps({**versions(), "found": found}, indent=2)
        arguments.json.write_text(content + "\n", encoding="utf-8")


def compare(
    name: str, recipe: dict[str, Any], grid: dict[str, Any], data_dir: Path | None
) -> dict[str, dict[str, Any]]:
    """Return, of every way, its cost and its trials."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        ours = write_config(folder, name, recipe, grid, data_dir)
        script = write_script_grid(folder, name, recipe, grid, data_dir)
        for way in WAYS:
            if way == "initbench":
                out = folder / "out"
                cost = cost_of([sys.executable, "-m", "benchmark", *ours, "--out", str(out)])
                lines = (out / "records.jsonl").read_text(encoding="utf-8").splitlines()
                trials = [_of_record(json.loads(line)) for line in lines]
            else:
                mode = "tune" if way == "Ray Tune" else "loop"
                command = [sys.executable, "-m", "perf.ray_tune_script", mode, str(script)]
                cost = cost_of(command)
                trials = list(_printed(cost))
            found[way] = {"wall": cost.wall, "cpu": cost.cpu, "trials": trials}
    return found


def write_config(
    folder: Path, name: str, recipe: dict[str, Any], grid: dict[str, Any], data_dir: Path | None
) -> list[str]:
    """Write the config of the grid; return the arguments of `initbench` that run it."""
    (folder / "fashion.py").write_text(PLUGIN, encoding="utf-8")
    config = {
        "name": "against",
        "grid": {
            "datasets": [name],
            "architectures": list(grid["models"]),
            "initializers": list(grid["initializers"]),
            "seeds": grid["seeds"],
        },
        "plugins": ["fashion.py"] if name == "fashion" else [],
        "recipe": {
            **recipe,
            "optimizer": "adamw",
            "weight_decay": WEIGHT_DECAY,
            "warmup_epochs": 1 if recipe["epochs"] > 1 else 0,
            "data_seed": "fixed",
        },
        **({"data_dir": str(data_dir.resolve())} if data_dir else {}),
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["run", str(folder / "grid.yaml"), "--device", "cpu"]


def write_script_grid(
    folder: Path, name: str, recipe: dict[str, Any], grid: dict[str, Any], data_dir: Path | None
) -> Path:
    """Write the data as normalised tensors and the script's list of trials; return its path."""
    import torch

    from benchmark.plugins import datasets, load_plugins

    load_plugins([str(folder / "fashion.py")])
    images = datasets.get(name).function(data_dir)
    tensors = {}
    for part, split in (("train", images.train), ("test", images.test)):
        pixels = split.pixels.astype(np.float32) / 255
        shape = (1, -1, 1, 1)
        pixels = (pixels - np.reshape(images.mean, shape)) / np.reshape(images.std, shape)
        tensors[f"{part}_images"] = torch.from_numpy(pixels.astype(np.float32))
        tensors[f"{part}_labels"] = torch.from_numpy(split.labels)
    torch.save(tensors, folder / "data.pt")
    trials = []
    for model in grid["models"]:
        call = parse_call(model)
        args = dict(call.keywords)
        if call.name == "test_vit":
            args["img_size"] = recipe["image_size"]
        for initializer in grid["initializers"]:
            for seed in range(grid["seeds"]):
                trials.append(
                    {
                        "architecture": str(call),
                        "model": call.name,
                        "args": args,
                        "initializer": initializer,
                        "seed": seed,
                        "data": str(folder / "data.pt"),
                        "weight_decay": WEIGHT_DECAY,
                        **recipe,
                    }
                )
    path = folder / "grid.json"
    path.write_text(json.dumps(trials), encoding="utf-8")
    return path


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


def parts(ways: dict[str, dict[str, Any]]) -> str:
    """Return a table of the seconds that trials report, and what the clock shows beside them."""
    rows = []
    for way, found in ways.items():
        sums: dict[str, float] = defaultdict(float)
        for trial in found["trials"]:
            for part, seconds in trial["seconds"].items():
                sums[part] += seconds
        shown = ", ".join(f"{part} {seconds:.1f}" for part, seconds in sums.items())
        rows.append((way, shown, f"{sum(sums.values()):.1f}", f"{found['wall']:.1f}"))
    headers = ("way", "seconds of all trials, by part", "sum", "wall, s")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def agreement(ways: dict[str, dict[str, Any]]) -> str:
    """Return a table of mean accuracies, and whether initbench's are those of the others."""
    means: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for way, found in ways.items():
        for trial in found["trials"]:
            means[trial["architecture"], trial["initializer"]][way].append(trial["accuracy"] or 0.0)
    rows = []
    for (model, initializer), values in means.items():
        shown = [f"{100 * statistics.mean(values[way]):.2f}" for way in ways]
        difference, half = interval(values["initbench"], values["Ray Tune"])
        agree = "yes" if abs(difference) <= half else "no"
        rows.append(
            (model, initializer, *shown, f"{100 * difference:+.2f} ± {100 * half:.2f}", agree)
        )
    headers = ("model", "initializer", *ways, "initbench - Ray Tune", "agree")
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def interval(one: Iterable[float], other: Iterable[float]) -> tuple[float, float]:
    """Return the difference of two means and the half width of Welch's 95 % interval."""
    from scipy import stats

    a, b = list(one), list(other)
    errors = [statistics.variance(values) / len(values) for values in (a, b)]
    total = sum(errors)
    difference = statistics.mean(a) - statistics.mean(b)
    if total == 0:
        return difference, 0.0
    scale = sum(e**2 / (len(v) - 1) for e, v in zip(errors, (a, b), strict=True))
    return difference, float(stats.t.ppf(0.975, total**2 / scale)) * math.sqrt(total)


if __name__ == "__main__":
    main()
