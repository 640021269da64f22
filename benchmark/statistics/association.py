"""Do training-free measures, such as the strength variance, go with the result of training?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from benchmark.spelling import bare
from benchmark.statistics.paired import mean_and_sd
from benchmark.statistics.table import TableError, refuse
from benchmark.statistics.trials import (
    DIVERGED,
    OK,
    Cell,
    Floats,
    Trials,
    arrange,
    split_treatment,
)

if TYPE_CHECKING:
    import pandas as pd

LEAST_TREATMENTS = 5
LEAST_INITIALIZERS = 5
LEAST_CELLS = 3


_TOO_FEW = f"fewer than {LEAST_INITIALIZERS} initializers, too few to stand for others"


@dataclass(frozen=True, slots=True)
class Point:
    """A treatment's means in one cell, over its ok runs that have the measure."""

    treatment: str
    measure: float
    outcome: float


@dataclass(frozen=True, slots=True)
class CellAssociation:
    """Spearman's rank correlation in one cell over the treatments' means; above 0: both rise.

    None, with a `reason`, where it says nothing; `low` and `high` are its 95 % interval for other
    initializers, None with fewer than 5 of the `n_initializers`. `rho_trials` is over all
    `n_trials` single runs, a description without interval: runs of one treatment are no independent
    evidence. `n_diverged` runs have no result and are left out.
    """

    cell: Cell
    points: tuple[Point, ...]
    n_initializers: int
    rho: float | None
    low: float | None
    high: float | None
    reason: str | None
    n_trials: int
    rho_trials: float | None
    n_diverged: int


@dataclass(frozen=True, slots=True)
class Association:
    """The rank correlation averaged over cells, with the wider of two 95 % intervals.

    `over` says what the interval generalises over: other `initializers` or other `cells`; `p` is
    the larger p value of no correlation. Without a usable cell the numbers are None; with fewer
    than 5 initializers in some cell `rho` describes them alone, without interval or p. `reason`
    says so.
    """

    measure: str
    outcome: str
    per_cell: tuple[CellAssociation, ...]
    n_cells: int
    rho: float | None
    low: float | None
    high: float | None
    over: str | None
    p: float | None
    rho_trials: float | None
    reason: str | None


def associate(
    table: pd.DataFrame | Trials,
    measure: str = "strength_variance_after",
    outcome: str = "accuracy",
    cells: Iterable[Sequence[str]] | None = None,
) -> Association:
    """Correlate a measure of the untrained network with a result, by ranks, within cells.

    `measure` is any numeric column; a run without a finite value is left out. In each cell
    Spearman's rho is over treatments, each by the means of its ok runs that have the measure;
    cells with fewer than 5 such treatments, or where either mean never varies, are left out with a
    reason. Over cells the Fisher transforms are averaged, each cell once; a perfect rho counts as
    half a step below 1, a step being that of the least change of two ranks.

    Two intervals, the wider shown. Initializers, from 5 on: the standard error of Bonett and Wright
    (2000), sqrt((1 + rho^2/2) / (initializers - 3)), averaged over cells instead of divided by
    their root, since the same treatments come back in every cell. An initializer counts once,
    whatever its rewirings and arguments: they may all have what sets it apart from others. Cells,
    from 3 on: the t-interval of the transforms. An arranged table must carry the measure among its
    columns. Raises TableError.
    """
    if not isinstance(table, Trials):
        table = arrange(table, outcome, n_column=None, columns=[measure])
    trials = table if cells is None else table.on(cells)
    per_cell = tuple(
        _in_cell(trials, k, trials.columns[measure][k]) for k in range(len(trials.cells))
    )
    used = [found for found in per_cell if found.rho is not None]
    described = [
        (found.rho_trials, found.n_trials) for found in per_cell if found.rho_trials is not None
    ]
    rho, low, high, over, p = _over_cells(used) if used else (None,) * 5
    reason = "; ".join(sorted({str(found.reason) for found in per_cell}))
    if used:
        reason = _TOO_FEW if low is None else ""
    return Association(
        measure=measure,
        outcome=trials.outcome_name,
        per_cell=per_cell,
        n_cells=len(used),
        rho=rho,
        low=low,
        high=high,
        over=over,
        p=p,
        rho_trials=float(np.tanh(np.mean(_fisher(described)))) if described else None,
        reason=reason or None,
    )


def associations(
    table: pd.DataFrame,
    measures: str | Sequence[str] = "measures",
    outcome: str = "accuracy",
    cells: Iterable[Sequence[str]] | None = None,
) -> tuple[Association, ...]:
    """Correlate several measures with a result, each as `associate` does.

    `measures` are the names of numeric columns, or the name of one column that holds a mapping
    {measure: number} per trial; then every measure that a trial has comes, sorted by name. The
    intervals and p values are those of one measure each: with M of them, M * p is below 0.05 for
    any measure without a correlation at most as often as one such p alone. Raises TableError.
    """
    if isinstance(measures, str):
        table, measures = _unpacked(table, measures)
    declared = None if cells is None else list(cells)
    trials = arrange(table, outcome, n_column=None, columns=measures)
    return tuple(associate(trials, measure, cells=declared) for measure in measures)


def _unpacked(table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, list[str]]:
    """The table with a column for each measure that its mappings name, and these names."""
    import pandas as pd

    if column not in table.columns:
        raise TableError(f"The table lacks the column {column!r}.")
    values = table[column].tolist()
    # To ask a dictionary whether it is a mapping takes longer than all else here.
    mappings = [type(value) is dict or isinstance(value, Mapping) for value in values]
    refuse(
        table,
        table[column].notna() & ~np.array(mappings, dtype=bool),
        f"{column} that is no mapping",
        "Write the numbers by the names of their measures, or leave the field empty.",
    )
    found = [each if is_one else {} for each, is_one in zip(values, mappings, strict=True)]
    names = sorted({str(name) for keys in set(map(tuple, found)) for name in keys})
    if taken := [name for name in names if name in table.columns]:
        raise TableError(f"The measure {taken[0]!r} has the name of a column: rename it.")
    columns = {name: [each.get(name) for each in found] for name in names}
    return pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1), names


def _in_cell(trials: Trials, k: int, measure: Floats) -> CellAssociation:
    usable = (trials.status[k] == OK) & np.isfinite(measure)
    outcome = trials.outcome[k]
    present = np.flatnonzero(usable.any(axis=-1))
    means = [mean_and_sd(values[present], usable[present])[0] for values in (measure, outcome)]
    rho, reason = None, None
    if len(present) < LEAST_TREATMENTS:
        reason = f"fewer than {LEAST_TREATMENTS} treatments"
    elif (rho := spearman(*means)) is None:
        constant = "measure" if np.ptp(_settled(means[0])) == 0 else "result"
        reason = f"the {constant} is the same for all treatments"
    initializers = {bare(split_treatment(trials.treatments[i])[0]) for i in present}
    low, high = None, None
    if rho is not None and len(initializers) >= LEAST_INITIALIZERS:
        low, high = _interval(rho, len(present), len(initializers))
    return CellAssociation(
        cell=trials.cells[k],
        points=tuple(
            Point(trials.treatments[i], float(x), float(y))
            for i, x, y in zip(present, *means, strict=True)
        ),
        n_initializers=len(initializers),
        rho=rho,
        low=low,
        high=high,
        reason=reason,
        n_trials=int(usable.sum()),
        rho_trials=spearman(measure[usable], outcome[usable]) if usable.sum() > 3 else None,
        n_diverged=int((trials.status[k] == DIVERGED).sum()),
    )


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation with tied ranks averaged; None if either never varies."""
    import pandas as pd

    x, y = _settled(x), _settled(y)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    ranks = pd.DataFrame({"x": x, "y": y}).rank().to_numpy()
    return float(np.clip(np.corrcoef(ranks.T)[0, 1], -1.0, 1.0))


def _settled(values: Floats) -> Floats:
    """The values in units of 1e-12 of the largest, so that rounding noise of a mean ties."""
    largest = np.abs(values).max(initial=0.0)
    return np.rint(values / (largest * 1e-12)) if largest > 0 else values


def _fisher(found: Sequence[tuple[float, int]]) -> Floats:
    """The Fisher transforms of (rho, n), a perfect rho pulled to half a step below 1."""
    rho, n = np.array(found, dtype=np.float64).T
    most = 1 - 6 / (n**3 - n)
    return np.arctanh(np.clip(rho, -most, most))


def _standard_error(rho: float, initializers: int) -> float:
    """Bonett and Wright's standard error of the Fisher transform."""
    return float(np.sqrt((1 + rho**2 / 2) / (initializers - 3)))


def _interval(rho: float, n: int, initializers: int) -> tuple[float, float]:
    """The 95 % interval of one rank correlation over n treatments."""
    reach = float(scipy.special.ndtri(0.975)) * _standard_error(rho, initializers)
    centre = float(_fisher([(rho, n)])[0])
    return float(np.tanh(centre - reach)), float(np.tanh(centre + reach))


def _over_cells(
    found: Sequence[CellAssociation],
) -> tuple[float, float | None, float | None, str | None, float | None]:
    """The averaged rho, the ends of its interval, what that is over, and p."""
    rhos = [each.rho for each in found if each.rho is not None]
    z = _fisher([(rho, len(each.points)) for rho, each in zip(rhos, found, strict=True)])
    centre = float(z.mean())
    if min(each.n_initializers for each in found) < LEAST_INITIALIZERS:
        return float(np.tanh(centre)), None, None, None, None
    counts = [each.n_initializers for each in found]
    se = float(np.mean(list(map(_standard_error, rhos, counts))))
    reach, over = float(scipy.special.ndtri(0.975)) * se, "initializers"
    p = 2.0 * float(scipy.special.ndtr(-abs(centre) / se))
    if len(z) >= LEAST_CELLS and (of_cells := float(z.std(ddof=1) / np.sqrt(len(z)))) > 0:
        df = len(z) - 1
        p = max(p, 2.0 * float(scipy.special.stdtr(df, -abs(centre) / of_cells)))
        reach_of_cells = float(scipy.special.stdtrit(df, 0.975)) * of_cells
        if reach_of_cells > reach:
            reach, over = reach_of_cells, "cells"
    rho, low, high = np.tanh([centre, centre - reach, centre + reach]).tolist()
    return rho, low, high, over, p
