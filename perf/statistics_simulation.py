"""Measures how often the statistics err: `python -m perf.statistics_simulation [--quick]`.

Type I error of the test in one cell, and coverage of the headline interval, on simulated trials
whose true effects are known. Prints markdown tables and writes a JSON file with the versions.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from benchmark.statistics.paired import flip_signs, pair, t_test
from benchmark.statistics.ranking import headlines
from benchmark.statistics.trials import OK, Trials
from benchmark.version import __version__

SEEDS = (3, 5, 10)
DATASETS = (1, 2, 3, 4, 5, 6)
ARCHITECTURES = (2, 3)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Accuracies of one cell: their noise in images, normal or heavy-tailed, on a test set."""

    name: str
    images: int
    sd_images: float
    heavy: bool = False


@dataclass(frozen=True)
class World:
    """Standard deviations of the true log error ratio over data sets, architectures, cells."""

    name: str
    datasets: float
    architectures: float
    cells: float


@dataclass(frozen=True)
class CellErrors:
    """Shares of replicates in which arms that do not differ were told apart."""

    noise: str
    seeds: int
    at_5_percent: float
    at_a_quarter_percent: float
    sign_flip_at_5_percent: float


@dataclass(frozen=True)
class Coverage:
    """Shares of replicates whose interval, shown or of the seeds alone, holds the truth."""

    world: str
    architectures: int
    seeds: int
    datasets: int
    scope: str
    shown: float
    of_seeds: float
    median_half_width_percent: float


NOISES = (
    Noise("normal, 50 of 10,000 images", 10_000, 50.0),
    Noise("heavy tails (t with 3 df)", 10_000, 50.0, heavy=True),
    Noise("one image of 360", 360, 1.0),
)
WORLDS = (
    World("nothing varies", 0.0, 0.0, 0.0),
    World("data sets vary", 0.05, 0.0, 0.0),
    World("both vary", 0.05, 0.05, 0.03),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the replicates")
    parser.add_argument("--out", type=Path, default=Path("build/statistics_simulation.json"))
    arguments = parser.parse_args()
    replicates = 500 if arguments.quick else 10_000
    start = time.process_time()
    rng = np.random.default_rng(20_240)
    in_cell = [type_one_errors(rng, noise, n, 4 * replicates) for noise in NOISES for n in SEEDS]
    covered = [
        coverage(rng, world, n, d, a, replicates)
        for world in WORLDS
        for a in ARCHITECTURES
        for n in SEEDS
        for d in DATASETS
    ]
    print(cell_table(in_cell), coverage_table(covered), sep="\n\n")
    report = {
        "command": "python -m perf.statistics_simulation" + " --quick" * arguments.quick,
        "replicates": replicates,
        "cpu_seconds": round(time.process_time() - start, 1),
        "versions": {
            "initbench": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scipy")},
        },
        "worlds": [asdict(world) for world in WORLDS],
        "type_one_errors": [asdict(row) for row in in_cell],
        "coverage": [asdict(row) for row in covered],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\n{replicates} replicates, {report['cpu_seconds']} s of CPU, {arguments.out}")


def type_one_errors(
    rng: np.random.Generator, noise: Noise, seeds: int, replicates: int
) -> CellErrors:
    """How often two arms that do not differ are told apart, with a seed's effect in common."""
    shape = (replicates, 2, seeds)
    draw = rng.standard_t(3, shape) / np.sqrt(3) if noise.heavy else rng.normal(size=shape)
    common = rng.normal(size=(replicates, 1, seeds))
    accuracy = 0.9 + (draw + common) / np.sqrt(2) * noise.sd_images / noise.images
    trials = as_trials(accuracy, np.full(replicates, noise.images), [("d", "a", "r")] * replicates)
    pairs = pair(trials, [0], [1])
    p = t_test(pairs.difference, pairs.both, pairs.floor).p
    return CellErrors(
        noise=noise.name,
        seeds=seeds,
        at_5_percent=float((p < 0.05).mean()),
        at_a_quarter_percent=float((p < 0.0025).mean()),
        sign_flip_at_5_percent=float((flip_signs(pairs.difference[:, 0]) <= 0.05).mean()),
    )


def coverage(
    rng: np.random.Generator,
    world: World,
    seeds: int,
    datasets: int,
    architectures: int,
    replicates: int,
) -> Coverage:
    """How often the interval holds the truth that its scope speaks of.

    Factors in the scope are drawn anew in every replicate and their truth is the mean they are
    drawn around; for those outside it, it is the mean of what was drawn.
    """
    grid = (datasets, architectures, replicates)
    of_dataset = rng.normal(0, world.datasets, (datasets, 1, replicates))
    of_architecture = rng.normal(0, world.architectures, (1, architectures, replicates))
    of_cell = rng.normal(0, world.cells, grid)
    effect = of_dataset + of_architecture + of_cell
    log_ratio = error_ratios(rng, effect.reshape(-1, replicates), seeds)
    cells = [(f"d{d}", f"a{a}", "r") for d in range(datasets) for a in range(architectures)]
    trials = as_trials(log_ratio, np.full(len(cells), 10_000), cells)
    pairs = pair(trials, range(0, 2 * replicates, 2), range(1, 2 * replicates, 2))
    names = [str(i) for i in range(replicates)]
    found, _ = headlines(pairs, names, cells, np.zeros(replicates, dtype=bool), 1, 0.05)
    truth = effect.mean(axis=(0, 1))
    scope = found[0].scope
    if "data sets" in scope:
        truth = truth - of_dataset.mean(axis=(0, 1))
    if "architectures" in scope:
        truth = truth - of_architecture.mean(axis=(0, 1))
    if scope != "these cells":
        truth = truth - of_cell.mean(axis=(0, 1))
    shown = np.array([(row.low, row.high) for row in found])
    of_seeds = np.array([(row.seeds.low, row.seeds.high) for row in found])
    return Coverage(
        world=world.name,
        architectures=architectures,
        seeds=seeds,
        datasets=datasets,
        scope=scope,
        shown=float(holds(shown, truth).mean()),
        of_seeds=float(holds(of_seeds, truth).mean()),
        median_half_width_percent=float(100 * np.median(shown[:, 1] - shown[:, 0]) / 2),
    )


def error_ratios(rng: np.random.Generator, effect: Floats, seeds: int) -> Floats:
    """Accuracies [cell, arm, seed], arms alternating treatment and reference of each replicate.

    Errors are about 20 %, with a log sd of 4 % that pairs share and of 2 to 6 % that they do not,
    the latter different from cell to cell.
    """
    cells, replicates = effect.shape
    shape = (cells, replicates, 1, seeds)
    own = rng.uniform(0.02, 0.06, (cells, 1, 1, 1))
    log_error = (
        np.log(0.2) + rng.normal(0, 0.04, shape) + rng.normal(0, 1, (*shape[:2], 2, seeds)) * own
    )
    log_error[:, :, 0] += effect[:, :, None]
    return 1 - np.exp(log_error.reshape(cells, 2 * replicates, seeds))


def as_trials(
    accuracy: Floats, images: NDArray[np.int64], cells: list[tuple[str, str, str]]
) -> Trials:
    """Accuracies [cell, arm, seed], rounded to whole images, as trials that are all ok."""
    n_cells, arms, seeds = accuracy.shape
    whole = images[:, None, None].astype(np.float64)
    return Trials(
        cells=tuple(cells),
        treatments=tuple(map(str, range(arms))),
        parts=tuple((str(i), "none") for i in range(arms)),
        seeds=np.tile(np.arange(seeds), (n_cells, 1)),
        status=np.full(accuracy.shape, OK, dtype=np.int8),
        outcome=np.clip(np.rint(accuracy * whole) / whole, 0, 1),
        images=images.astype(np.float64),
        outcome_name="accuracy",
        columns={},
    )


def holds(interval: Floats, truth: Floats) -> NDArray[np.bool_]:
    return (interval[:, 0] <= truth) & (truth <= interval[:, 1])


def cell_table(found: list[CellErrors]) -> str:
    headers = ["noise", "seeds", "p < .05, %", "p < .0025, %", "sign flip p <= .05, %"]
    rows = []
    for row in found:
        shares = (row.at_5_percent, row.at_a_quarter_percent, row.sign_flip_at_5_percent)
        rows.append([row.noise, str(row.seeds), *(f"{100 * share:.2f}" for share in shares)])
    return as_markdown(rows, headers)


def coverage_table(found: list[Coverage]) -> str:
    """One line per world, architectures and seeds; one column per number of data sets."""
    headers = ["world", "architectures", "seeds", "1 data set"]
    headers += [f"{d} data sets" for d in DATASETS[1:]]
    rows = []
    for start in range(0, len(found), len(DATASETS)):
        line = found[start : start + len(DATASETS)]
        shares = [f"{100 * each.shown:.1f} ({100 * each.of_seeds:.0f})" for each in line]
        rows.append([line[0].world, str(line[0].architectures), str(line[0].seeds), *shares])
    return as_markdown(rows, headers)


def as_markdown(rows: list[list[str]], headers: list[str]) -> str:
    align = ["left" if name in ("noise", "world") else "right" for name in headers]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)


if __name__ == "__main__":
    main()
