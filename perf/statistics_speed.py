"""Times the comparisons of a large table beside a test per cell: `python -m perf.statistics_speed`.

The table has 40 treatments x 25 cells x 100 seeds. Seconds are of CPU, the best of three.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import scipy.stats

from benchmark.statistics import analyse, arrange, associate, contrast_families, early_training
from benchmark.statistics.table import CELL

INITIALIZERS, REWIRINGS, DATASETS, ARCHITECTURES, SEEDS = 10, 4, 5, 5, 100


def main() -> None:
    table = synthetic()
    treatments = INITIALIZERS * REWIRINGS
    trials = arrange(table, columns=["strength_variance_after"])
    found = analyse(trials, "i0", treatments - 1)
    again = one_by_one(table, "i0")
    for row in found.comparisons:
        np.testing.assert_allclose(row.p, again[*row.cell, row.treatment], rtol=1e-6)
    print(f"{len(table):,} records, {len(found.comparisons)} comparisons")
    alone = seconds(lambda: one_by_one(table, "i0"), 1)
    whole = seconds(lambda: analyse(table, "i0", treatments - 1))
    print(f"{alone:.2f} s  p values alone, by a merge and a scipy.stats.ttest_1samp for each")
    print(f"{whole:.2f} s  analyse the table: everything, {alone / whole:.1f} times faster")
    for name, work in (
        ("of that: validate and arrange the table", lambda: arrange(table)),
        ("of that: compare", lambda: analyse(trials, "i0", treatments - 1)),
        ("contrast families of the arranged table", lambda: contrast_families(trials)),
        ("early training, from the table", lambda: early_training(table, "i0")),
        ("correlation with a measure, of the arranged table", lambda: associate(trials)),
    ):
        print(f"{seconds(work):.2f} s  {name}")


def synthetic() -> pd.DataFrame:
    """A shuffled table of normal accuracies in which 1 % of the runs diverge."""
    rng = np.random.default_rng(0)
    shape = (DATASETS, ARCHITECTURES, INITIALIZERS, REWIRINGS, SEEDS)
    dataset, architecture, initializer, rewiring, seed = np.indices(shape).reshape(len(shape), -1)
    accuracy = np.round(0.8 + 0.02 * dataset + rng.normal(0, 0.01, len(seed)), 4)
    endings = np.array(["", "+pa", "+shuffle", "+reverse"])
    table = pd.DataFrame(
        {
            "dataset": [f"d{i}" for i in dataset],
            "architecture": [f"a{i}" for i in architecture],
            "recipe": "short",
            "treatment": [f"i{i}{endings[j]}" for i, j in zip(initializer, rewiring, strict=True)],
            "seed": seed,
            "status": np.where(rng.random(len(seed)) < 0.01, "diverged", "ok"),
            "accuracy": accuracy,
            "n_test": 10_000,
            "n_validation": 5_000,
            "epoch1_accuracy": np.round(accuracy / 2, 4),
            "area_under_validation_curve": np.round(accuracy * 0.8, 4),
            "epochs_to_target": rng.integers(1, 20, len(seed)).astype(float),
            "strength_variance_after": rng.random(len(seed)),
        }
    )
    return table.sample(frac=1, random_state=0, ignore_index=True)


def one_by_one(table: pd.DataFrame, baseline: str) -> dict[tuple[str, ...], float]:
    """The p value of every comparison, each from a call of its own."""
    keys = [*CELL, "seed"]
    ok = table[table["status"] == "ok"]
    own = ok.loc[ok["treatment"] == baseline, [*keys, "accuracy"]]
    others = ok[ok["treatment"] != baseline]
    pairs = others.merge(own, on=keys, suffixes=("", "_baseline"))
    return {
        key: float(
            scipy.stats.ttest_1samp(
                np.round(rows["accuracy"] - rows["accuracy_baseline"], 9), 0
            ).pvalue
        )
        for key, rows in pairs.groupby([*CELL, "treatment"], sort=False)
    }


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The least CPU time of some calls, in seconds."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


if __name__ == "__main__":
    main()
