"""What the error varies with: shares of cell, treatment, their interaction, seed and the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.statistics.results import Variance
from benchmark.statistics.trials import OK, Trials


def decompose(trials: Trials, treatments: Sequence[int]) -> Variance | None:
    """Split the log error's sum of squares over a balanced block of the given treatments.

    The block has, in every cell, the first S seeds at which all the treatments are ok, S being the
    least such number over the cells. Seeds are nested in cells; the share of the seeds is what
    pairing takes out of every comparison. None with fewer than two treatments or seeds. A factor
    without any effect still takes about its share of the degrees of freedom.
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
