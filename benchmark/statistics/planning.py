"""How many seeds settle a claim, and what the seeds at hand could have shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import ArrayLike

from benchmark.statistics.trials import Cell, Floats, Trials, arrange

if TYPE_CHECKING:
    import pandas as pd

LEAST_SEEDS = 3
MOST_SEEDS = 1000
TIERS = (5, 10, 30)
FAR_OUT = 1e4
"""The critical t from which the noncentrality is taken from its limit, right to 1e-8 there."""


@dataclass(frozen=True, slots=True)
class Tier:
    """What a number of seeds fixed beforehand can do: its power, and the least it would detect."""

    seeds: int
    power: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How many seeds settle the claim "A beats B by `difference`" with the given power.

    `sd` is that of the paired difference, in the same unit as `difference`. `seeds` takes it as
    it stands, `seeds_cautious` its upper 80 % limit (None without a pilot); None means more than
    1000. `at_hand` says what the pilot's own seeds could have shown, `tiers` what 5, 10 and 30
    can, the latter with the cautious sd where there is one.
    """

    difference: float
    sd: float
    alpha: float
    power: float
    seeds: int | None
    seeds_cautious: int | None
    at_hand: Tier | None
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class CellPlan:
    """The plan for one cell from the pairs that a pilot has there; None below three pairs."""

    cell: Cell
    n_pairs: int
    mean_difference: float | None
    plan: Plan | None


@dataclass(frozen=True, slots=True)
class PilotPlan:
    """The plans that a pilot's records suggest for "A beats B by d".

    `per_cell` is for claims about one cell. `over_cells`, None unless every cell has three pairs,
    is for the mean difference over exactly these cells, with as many seeds in each. More seeds
    never widen a claim to other data sets or architectures: that takes more of those.
    """

    treatment: str
    baseline: str
    per_cell: tuple[CellPlan, ...]
    over_cells: Plan | None


def noncentrality(df: ArrayLike, alpha: float = 0.05, power: float = 0.8) -> Floats:
    """The noncentrality at which a two-sided t-test at level alpha has the given power.

    Solves nct.sf(t.ppf(1 - alpha/2, df), df, delta) = power for delta, elementwise over `df` > 1.
    The tail of the wrong sign is left out: it holds less than a millionth.
    """
    distinct, back = np.unique(np.asarray(df, dtype=np.float64), return_inverse=True)
    critical = scipy.special.stdtrit(distinct, 1 - alpha / 2)
    # Far out the normal part is lost beside the chi-squared one, and SciPy's series do not end.
    far = critical > FAR_OUT
    limit = critical * np.sqrt(scipy.special.chdtri(distinct, 1 - power) / distinct)
    critical = np.where(far, 1.0, critical)
    delta: Floats = np.asarray(scipy.special.nctdtrinc(distinct, 1 - power, critical))
    # SciPy's inverse is off by up to 1e-4; chord steps bring it to rounding error.
    step = 1e-5 * delta
    ahead = scipy.special.nctdtr(distinct, delta + step, critical)
    slope = (ahead - scipy.special.nctdtr(distinct, delta - step, critical)) / (2 * step)
    for _ in range(4):
        delta = delta - (scipy.special.nctdtr(distinct, delta, critical) - (1 - power)) / slope
    return np.where(far, limit, delta)[back].reshape(np.shape(df))


def detectable(
    n: ArrayLike, sd: ArrayLike, alpha: float = 0.05, power: float = 0.8, spreads: float = 1.0
) -> Floats:
    """The difference that n pairs show with the given power, in the unit of their sd.

    `spreads` is the number of independent standard deviations behind `sd`: the test has
    spreads * (n - 1) degrees of freedom.
    """
    n = np.asarray(n, dtype=np.float64)
    return noncentrality(spreads * (n - 1), alpha, power) / np.sqrt(n) * np.asarray(sd)


def power_of(
    n: ArrayLike, target: float, sd: ArrayLike, alpha: float = 0.05, spreads: float = 1.0
) -> Floats:
    """The power of n pairs against a true difference `target`; `spreads` as in `detectable`."""
    n = np.asarray(n, dtype=np.float64)
    df = spreads * (n - 1)
    shift = abs(target) / np.asarray(sd, dtype=np.float64) * np.sqrt(n)
    critical = scipy.special.stdtrit(df, 1 - alpha / 2)
    return 1 - np.asarray(scipy.special.nctdtr(df, shift, critical), dtype=np.float64)


def seeds_needed(
    target: float, sd: ArrayLike, alpha: float = 0.05, power: float = 0.8, spreads: float = 1.0
) -> Floats:
    """The least number of pairs, 3 to 1000, that shows `target` with the given power, else NaN.

    Power grows with the noncentrality, so this is the least n whose detectable difference in
    standard deviations is at most target/sd: a search in one table that falls with n.
    """
    ratio = abs(target) / np.asarray(sd, dtype=np.float64)
    falling = _detectable_in_sds(alpha, power, spreads)
    n = LEAST_SEEDS + np.searchsorted(-falling, -ratio, side="left")
    return np.where(np.isnan(ratio) | (n > MOST_SEEDS), np.nan, n)


def cautious_sd(sd: ArrayLike, df: ArrayLike) -> Floats:
    """The upper 80 % confidence limit of a standard deviation estimated with df degrees."""
    df = np.asarray(df, dtype=np.float64)
    return np.asarray(sd) * np.sqrt(df / scipy.special.chdtri(df, 0.8))


def plan(
    difference: float,
    sd: float,
    n_pilot: int | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """Plan the seeds for one paired difference in one cell.

    `difference` and `sd` share a unit: accuracies as shares, or log error ratios (an error smaller
    by 5 % is log(0.95)). Give `n_pilot` if `sd` was estimated from so many pairs. For a claim that
    is one of M, use alpha = 0.05/M. Raises ValueError for an sd that is not positive, a difference
    of 0, a power outside (alpha, 1) or fewer than 3 pilot pairs.
    """
    if not (np.isfinite(sd) and sd > 0):
        raise ValueError(f"The sd of the paired difference must be above 0, not {sd}.")
    if not (np.isfinite(difference) and difference != 0):
        raise ValueError(f"The difference to be shown must be a number other than 0: {difference}.")
    if not 0 < alpha < power < 1:
        raise ValueError(f"Write 0 < alpha < power < 1, not alpha {alpha} and power {power}.")
    if n_pilot is not None and n_pilot < LEAST_SEEDS:
        raise ValueError(f"A pilot of {n_pilot} pairs says nothing of their sd: run at least 3.")
    return _plan(difference, sd, n_pilot, alpha, power, 1.0, (n_pilot or 0) - 1.0)


def plan_from_pilot(
    table: pd.DataFrame | Trials,
    treatment: str,
    baseline: str,
    difference: float = 0.005,
    alpha: float = 0.05,
    power: float = 0.8,
    cells: Iterable[Sequence[str]] | None = None,
) -> PilotPlan:
    """Plan the seeds for "treatment beats baseline by `difference`" from the records at hand.

    `difference` is one of accuracies, as a share. Spreads are those of the paired differences, no
    smaller than rounding to whole images makes them. Cells are those in which the baseline has a
    row, unless given. Raises TableError for a bad table or an unknown treatment.
    """
    from benchmark.statistics.paired import pair, t_test

    trials = table if isinstance(table, Trials) else arrange(table)
    here = trials.on(trials.cells_with(baseline) if cells is None else cells)
    pairs = pair(here, [here.index(treatment)], [here.index(baseline)])
    tested = t_test(pairs.difference, pairs.both, pairs.floor)
    n, mean, sd = pairs.n_pairs[:, 0], tested.mean[:, 0], tested.sd[:, 0]
    per_cell = tuple(
        CellPlan(
            cell=cell,
            n_pairs=int(n[k]),
            mean_difference=None if np.isnan(sd[k]) else float(mean[k]),
            plan=None
            if np.isnan(sd[k])
            else plan(difference, float(sd[k]), int(n[k]), alpha, power),
        )
        for k, cell in enumerate(here.cells)
    )
    over_cells = None
    if not np.isnan(sd).any():
        variances = sd**2
        over_cells = _plan(
            difference,
            sd=float(np.sqrt(variances.sum()) / len(sd)),
            n_pilot=int(n.min()),
            alpha=alpha,
            power=power,
            spreads=float(variances.sum() ** 2 / (variances**2).sum()),
            df_pilot=float(variances.sum() ** 2 / (variances**2 / (n - 1)).sum()),
        )
    return PilotPlan(treatment, baseline, per_cell, over_cells)


def _plan(
    difference: float,
    sd: float,
    n_pilot: int | None,
    alpha: float,
    power: float,
    spreads: float,
    df_pilot: float,
) -> Plan:
    def tier(n: int, spread: float) -> Tier:
        return Tier(
            seeds=n,
            power=float(power_of(n, difference, spread, alpha, spreads)),
            detectable=float(detectable(n, spread, alpha, power, spreads)),
        )

    def seeds(spread: float) -> int | None:
        needed = float(seeds_needed(difference, spread, alpha, power, spreads))
        return None if np.isnan(needed) else int(needed)

    sure = sd if n_pilot is None else float(cautious_sd(sd, df_pilot))
    return Plan(
        difference=difference,
        sd=sd,
        alpha=alpha,
        power=power,
        seeds=seeds(sd),
        seeds_cautious=None if n_pilot is None else seeds(sure),
        at_hand=None if n_pilot is None else tier(n_pilot, sd),
        tiers=tuple(tier(n, sure) for n in TIERS),
    )


@lru_cache(maxsize=64)
def _detectable_in_sds(alpha: float, power: float, spreads: float) -> Floats:
    return detectable(np.arange(LEAST_SEEDS, MOST_SEEDS + 1), 1.0, alpha, power, spreads)
