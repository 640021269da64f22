"""What the error varies with: shares of cell, treatment, their interaction, seed and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.statistics.paired import mean_and_sd
from benchmark.statistics.results import Variance
from benchmark.statistics.table import TableError
from benchmark.statistics.trials import OK, Trials, arrange

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class DataOrder:
    """How much of the scatter over seeds the order of the data brings; a description, no test.

    `fixed` and `per_seed` are variances of the log error over seeds, averaged over the `arms`
    (data set, architecture, treatment) that both recipes have, each arm weighted by its degrees of
    freedom. `share` is 1 - fixed/per_seed: the part of the order, below 0 where the recipe with
    one order for all seeds scatters more; None without any scatter.
    """

    arms: int
    fixed: float
    per_seed: float
    degrees_of_freedom_fixed: int
    degrees_of_freedom_per_seed: int
    share: float | None


def data_order(table: pd.DataFrame | Trials, fixed: str, per_seed: str) -> DataOrder | None:
    """Split the scatter over seeds into that of the weights and that of the order of the data.

    `fixed` and `per_seed` name two recipes that differ in `data_seed` alone: in the first a seed
    changes the weights only, in the second the order of the data, their split and augmentation,
    too. None where no arm has two ok runs in both. Raises TableError for a bad table or a recipe
    that has no row.
    """
    trials = table if isinstance(table, Trials) else arrange(table)
    places = {
        recipe: {cell[:2]: k for k, cell in enumerate(trials.cells) if cell[2] == recipe}
        for recipe in (fixed, per_seed)
    }
    for recipe, found in places.items():
        if not found:
            raise TableError(f"The table has no rows of the recipe {recipe!r}.")
    both = sorted(places[fixed].keys() & places[per_seed].keys())
    at = [[places[recipe][cell] for cell in both] for recipe in (fixed, per_seed)]
    ok = [trials.status[rows] == OK for rows in at]
    df = [np.maximum(each.sum(axis=-1) - 1, 0) for each in ok]
    arms = (df[0] > 0) & (df[1] > 0)
    if not arms.any():
        return None
    sds = [mean_and_sd(trials.log_error[rows], each)[1] for rows, each in zip(at, ok, strict=True)]
    variances = [
        float((sd[arms] ** 2 * free[arms]).sum() / free[arms].sum())
        for sd, free in zip(sds, df, strict=True)
    ]
    return DataOrder(
        arms=int(arms.sum()),
        fixed=variances[0],
        per_seed=variances[1],
        degrees_of_freedom_fixed=int(df[0][arms].sum()),
        degrees_of_freedom_per_seed=int(df[1][arms].sum()),
        share=1 - variances[0] / variances[1] if variances[1] > 0 else None,
    )


def decompose(trials: Trials, treatments: Sequence[int]) -> Variance | None:
    """Split the log error's sum of squares over a balanced block of the given treatments.

    The block has, in every cell, the first S seeds at which all the treatments are ok, S being the
    least such number over the cells. Seeds are nested in cells; the share of the seeds is what
    pairing takes out of every comparison. None with fewer than two treatments or seeds. A factor
    without any effect still takes about its degrees of freedom times the residual's mean square.
    """
    complete = (trials.status[:, treatments] == OK).all(axis=1)
    n_seeds = int(complete.sum(axis=-1).min(initial=len(trials.seeds[0])))
    if len(treatments) < 2 or n_seeds < 2:
        return None
    first = np.argsort(~complete, axis=-1, kind="stable")[:, None, :n_seeds]
    y = np.take_along_axis(trials.log_error[:, treatments], first, axis=-1)
    c, t, s = y.shape
    mean = y.mean()
    of_cell = y.mean(axis=(1, 2), keepdims=True)
    of_treatment = y.mean(axis=(0, 2), keepdims=True)
    of_both = y.mean(axis=2, keepdims=True)
    of_seed = y.mean(axis=1, keepdims=True)
    sums = {
        "cell": t * s * ((of_cell - mean) ** 2).sum(),
        "treatment": c * s * ((of_treatment - mean) ** 2).sum(),
        "interaction": s * ((of_both - of_cell - of_treatment + mean) ** 2).sum(),
        "seed": t * ((of_seed - of_cell) ** 2).sum(),
        "residual": ((y - of_both - of_seed + of_cell) ** 2).sum(),
    }
    whole = sum(sums.values())
    return Variance(
        cells=c,
        treatments=t,
        seeds=s,
        total=float(whole),
        sums_of_squares={name: float(value) for name, value in sums.items()},
        degrees_of_freedom={
            "cell": c - 1,
            "treatment": t - 1,
            "interaction": (c - 1) * (t - 1),
            "seed": c * (s - 1),
            "residual": c * (s - 1) * (t - 1),
        },
        shares={name: float(value / whole) if whole > 0 else 0.0 for name, value in sums.items()},
    )
