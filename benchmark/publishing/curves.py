"""Mean learning curves of every treatment in every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmark.publishing.evidence import Evidence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanCurves:
    """Validation accuracy [cell, treatment, epoch] over the ok runs, in the evidence's order.

    `half_width` is that of the 95 % t-interval of the mean. NaN where there are too few runs.
    """

    mean: Floats
    half_width: Floats

    def epochs(self, cell: int) -> int:
        """How many epochs any treatment of a cell has."""
        known = np.flatnonzero(~np.isnan(self.mean[cell]).all(axis=0))
        return int(known.max(initial=-1)) + 1


def mean_curves(evidence: Evidence) -> MeanCurves:
    """Average the validation curves over seeds."""
    cells, treatments = evidence.cells, evidence.treatments
    at_cell, at_treatment, _ = evidence.places
    codes = at_cell * len(treatments) + at_treatment
    use = (evidence.frame["status"] == "ok").to_numpy()
    codes, values = codes[use], evidence.curves[use].astype(np.float64)
    shape = (len(cells) * len(treatments), values.shape[1])
    known = ~np.isnan(values)

    def total(each: NDArray[Any]) -> Floats:
        sums = np.empty(shape)
        for epoch in range(shape[1]):
            sums[:, epoch] = np.bincount(codes, each[:, epoch], minlength=shape[0])
        return sums

    n = total(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(np.where(known, values, 0.0)) / n
        sd = np.sqrt(total(np.where(known, values - mean[codes], 0.0) ** 2) / (n - 1))
        quantile = scipy.special.stdtrit(np.where(n >= 3, n - 1, np.nan), 0.975)
        half_width = quantile * sd / np.sqrt(n)
    final = (len(cells), len(treatments), shape[1])
    return MeanCurves(mean.reshape(final), half_width.reshape(final))
