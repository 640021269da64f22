"""The headline: by what share a treatment changes the error over all cells, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from benchmark.spelling import bare
from benchmark.statistics.paired import (
    LEAST_PAIRS,
    Bools,
    Pairs,
    mean_and_sd,
    t_quantile,
    total,
    two_sided,
)
from benchmark.statistics.planning import noncentrality
from benchmark.statistics.results import Headline, Interval, Reason, Unranked, rows
from benchmark.statistics.trials import Cell, Floats

ALPHA = 0.05
LEAST_GROUPS = 3


def headlines(
    pairs: Pairs,
    names: Sequence[str],
    cells: Sequence[Cell],
    diverges_more: Bools,
    family: int,
    margin: float,
) -> tuple[list[Headline], list[Unranked]]:
    """The headline of every comparison that has 3 pairs in all cells, and what the others lack.

    `names` and `diverges_more` are per comparison; both results keep their order, without ranks.
    `family` is the fixed number of comparisons that the family-wise p pays for, `margin` the
    relative change of the error that is of no interest.
    """
    unranked = lacking(pairs, names, cells)
    out = {row.treatment for row in unranked}
    kept = np.array([i for i, name in enumerate(names) if name not in out], dtype=np.intp)
    if not len(kept):
        return [], unranked
    log_mean, log_sd = log_ratios(pairs)
    columns = _columns(
        log_mean[:, kept], log_sd[:, kept], pairs.n_pairs[:, kept], cells, family, margin
    )
    identical: Bools = np.logical_and.reduce(pairs.log_ratio[:, kept] == 0, axis=(0, 2))
    columns["treatment"] = [names[i] for i in kept]
    columns["state"] = np.where(identical, "identical", "tested")
    columns["verdict"] = [
        verdict(*values)
        for values in zip(
            identical.tolist(),
            columns["estimate"],
            columns["p_family"],
            family * np.asarray(columns["p_tost"]),
            diverges_more[kept].tolist(),
            strict=True,
        )
    ]
    return list(rows(Headline, columns)), unranked


def lacking(pairs: Pairs, names: Sequence[str], cells: Sequence[Cell]) -> list[Unranked]:
    """The comparisons without 3 pairs in some cell, each with all such cells as reasons."""
    state, n_pairs = pairs.state.tolist(), pairs.n_pairs.tolist()
    found = []
    for i, name in enumerate(names):
        reasons = tuple(
            Reason(*cell, state[k][i], n_pairs[k][i])
            for k, cell in enumerate(cells)
            if n_pairs[k][i] < LEAST_PAIRS
        )
        if reasons:
            found.append(Unranked(name, reasons))
    return found


def ranked(found: Sequence[Headline]) -> tuple[Headline, ...]:
    """Headlines with their ranks, smallest error first; equal estimates share a rank."""
    keys = [round(row.estimate, 12) for row in found]
    placed = [
        (1 + sum(other < key for other in keys), row.treatment, row)
        for row, key in zip(found, keys, strict=True)
    ]
    return tuple(replace(row, rank=rank) for rank, _, row in sorted(placed, key=lambda p: p[:2]))


def log_ratios(pairs: Pairs) -> tuple[Floats, Floats]:
    """Mean and floored sd of the log error ratio [cell, comparison]; NaN below three pairs."""
    mean, sd = mean_and_sd(pairs.log_ratio, pairs.both)
    short = pairs.n_pairs < LEAST_PAIRS
    return (
        np.where(short, np.nan, mean),
        np.where(short, np.nan, np.maximum(sd, pairs.log_floor)),
    )


def verdict(
    identical: bool, estimate: float, p_family: float, p_equivalent: float, diverges_more: bool
) -> str:
    """The word for a treatment; `p_equivalent` is the family-wise p of the equivalence test."""
    if identical:
        word = "identical"
    elif p_family < ALPHA:
        word = "worse" if estimate > 0 else "better"
    else:
        word = "equivalent" if p_equivalent < ALPHA else "no difference shown"
    speaks_well = word in ("identical", "better", "equivalent")
    return f"{word} where it trains" if speaks_well and diverges_more else word


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjusted p values, as `statsmodels...multipletests(p, method="holm")`."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p: Floats) -> Floats:
    """Benjamini and Hochberg's adjusted p values along the first axis, over those that exist.

    NaN stays NaN and counts for nothing. Equals `scipy.stats.false_discovery_control`.
    """
    m = (~np.isnan(p)).sum(axis=0)
    order = np.argsort(p, axis=0, kind="stable")  # NaN last
    position = np.arange(1, len(p) + 1).reshape(-1, *[1] * (p.ndim - 1))
    steps = np.take_along_axis(p, order, axis=0) * m / position
    falling = np.fmin.accumulate(steps[::-1], axis=0)[::-1]
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(falling, 1.0), axis=0)
    return np.where(np.isnan(p), np.nan, adjusted)


def _columns(
    x: Floats, sd: Floats, n: NDArray[np.int64], cells: Sequence[Cell], family: int, margin: float
) -> dict[str, Sequence[object] | NDArray[np.generic]]:
    """The numbers of the headlines from every cell's log ratio x [cell, comparison]."""
    estimate = total(x.T) / len(cells)
    groups = _sampled_groups(cells)
    seeds = _interval(estimate, *_variance_of_seeds(sd**2 / n, n), margin)
    population = _interval(estimate, *_variance_of_groups(x, list(groups.values())), margin)
    wider = population["high"] - population["low"] > seeds["high"] - seeds["low"]
    shown = {key: np.where(wider, population[key], seeds[key]) for key in seeds}
    p, p_tost = (np.fmax(seeds[key], population[key]) for key in ("p", "p_tost"))
    # A verdict takes the larger p, which at a strict level need not be the wider interval's.
    seen = np.fmax(
        *(noncentrality(of["df"], ALPHA / family) * of["se"] for of in (seeds, population))
    )
    exists = ~np.isnan(population["se"])
    return {
        "estimate": estimate,
        "change_percent": 100 * np.expm1(estimate),
        "cells": [len(cells)] * len(estimate),
        "scope": [" and ".join(groups) or "these cells"] * len(estimate),
        "seeds": rows(Interval, seeds),
        "population": [
            row if there else None
            for row, there in zip(rows(Interval, population), exists, strict=True)
        ],
        "low": shown["low"],
        "high": shown["high"],
        "low_percent": 100 * np.expm1(shown["low"]),
        "high_percent": 100 * np.expm1(shown["high"]),
        "p": p,
        "p_tost": p_tost,
        "detectable_percent": -100 * np.expm1(-seen),
        "rank": [None] * len(estimate),
        "p_family": np.minimum(family * p, 1.0),
        "p_holm": holm(p),
    }


def _sampled_groups(cells: Sequence[Cell]) -> dict[str, NDArray[np.intp]]:
    """The factors with enough groups to stand for others like them, as codes per cell.

    An architecture with other arguments is no other architecture; a data set with others may be.
    """
    names = {
        "data sets": [dataset for dataset, _, _ in cells],
        "architectures": [bare(architecture) for _, architecture, _ in cells],
    }
    codes = {label: np.unique(of, return_inverse=True)[1] for label, of in names.items()}
    return {label: code for label, code in codes.items() if code.max() + 1 >= LEAST_GROUPS}


def _variance_of_seeds(v: Floats, n: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Squared standard error and degrees of freedom (Welch-Satterthwaite) of the mean over cells.

    `v` [cell, comparison] is the squared standard error in each cell, from n pairs.
    """
    summed = total(v.T)
    return summed / len(v) ** 2, summed**2 / total((v**2 / (n - 1)).T)


def _variance_of_groups(x: Floats, factors: list[NDArray[np.intp]]) -> tuple[Floats, Floats]:
    """Cluster-robust squared standard error of the mean over cells, the factors' parts added.

    A factor's part is that of `sm.OLS(x, ones).fit(cov_type="cluster")`, on a balanced grid the
    variance of a mean of its groups' means. NaN without factors or where nothing varies.
    """
    away = (x - total(x.T) / len(x)) / len(x)
    summed, spent = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for codes in factors:
        groups = codes.max() + 1
        sums = np.stack([total(away[codes == group].T) for group in range(groups)])
        part = groups / (groups - 1) * total((sums**2).T)
        summed, spent = summed + part, spent + part**2 / (groups - 1)
    # Log ratios are rounded to 1e-12, so less than that is the rounding of their mean.
    exists = summed > 1e-24
    spent = np.where(exists, spent, np.nan)
    return np.where(exists, summed, np.nan), summed**2 / spent


def _interval(estimate: Floats, variance: Floats, df: Floats, margin: float) -> dict[str, Floats]:
    se = np.sqrt(variance)
    reach = t_quantile(df) * se
    border = np.log1p(margin)
    return {
        "se": se,
        "df": df,
        "low": estimate - reach,
        "high": estimate + reach,
        "p": two_sided(estimate / se, df),
        "p_tost": np.maximum(
            scipy.special.stdtr(df, -(estimate + border) / se),
            scipy.special.stdtr(df, (estimate - border) / se),
        ),
    }
