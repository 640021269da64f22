"""Every treatment against one baseline: the analysis that a board and a comparison rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.statistics.failures import (
    count_failures,
    discordant,
    diverges_more,
    failure_rows,
)
from benchmark.statistics.paired import (
    Pairs,
    mean_and_sd,
    pair,
    sign_flip,
    spread_test,
    t_quantile,
    t_test,
)
from benchmark.statistics.planning import cautious_sd, detectable, seeds_needed
from benchmark.statistics.ranking import benjamini_hochberg, headlines, log_ratios, ranked
from benchmark.statistics.results import Analysis, Arm, Comparison, rows, whole
from benchmark.statistics.table import CELL, TableError
from benchmark.statistics.trials import ABSENT, DIVERGED, OK, Cell, Trials, arrange
from benchmark.statistics.variance import decompose

if TYPE_CHECKING:
    import pandas as pd

NEAR_CEILING_IMAGES = 10


def analyse(
    table: pd.DataFrame | Trials,
    baseline: str,
    family: int | None = None,
    margin: float = 0.05,
    target: float = 0.005,
    cells: Iterable[Sequence[str]] | None = None,
    outcome: str = "accuracy",
    n_column: str = "n_test",
) -> Analysis:
    """Compare every treatment of a tidy table with the baseline, in every cell and over all.

    `table` has one row per trial (see `validate`), or is an `arrange`d one, which then decides
    outcome and number of images; arrange once to analyse under several baselines. `family` is the
    fixed number of comparisons that the verdicts pay for (default: the treatments of the table
    less the baseline), `margin` the relative change of the error that counts as none, `target` the
    difference in the outcome to plan seeds for. `cells` are the declared (dataset, architecture,
    recipe); default: those in which the baseline has a row. Raises TableError for a bad table or
    an unknown baseline, ValueError for other arguments out of range.

    Adding or removing another treatment changes no estimate, interval, p, p_family, p_bh or
    verdict, given the same family; only ranks, p_holm and the shares of variance depend on it.
    """
    trials = table if isinstance(table, Trials) else arrange(table, outcome, n_column)
    at = trials.index(baseline)
    here = trials.on(trials.cells_with(baseline) if cells is None else cells)
    others = [i for i in range(len(here.treatments)) if i != at]
    names = [here.treatments[i] for i in others]
    if family is None:
        family = max(len(others), 1)
    check_arguments(here, family, margin, target)
    pairs = pair(here, others, [at] * len(others))
    diverging = diverges_more(*discordant(pairs))
    k, n = count_failures(here)
    order = [at, *others]
    found, unranked = headlines(pairs, names, here.cells, diverging, family, margin)
    in_ranking = {row.treatment for row in found}
    block = [at, *(i for i, name in zip(others, names, strict=True) if name in in_ranking)]
    return Analysis(
        baseline=baseline,
        outcome=here.outcome_name,
        family=family,
        margin=margin,
        target=target,
        cells=here.cells,
        arms=_arms(here, order),
        comparisons=comparisons(pairs, names, here.cells, target),
        failures=failure_rows([baseline, *names], k[order], n[order], pairs, reference=0),
        ranking=ranked(found),
        unranked=tuple(unranked),
        variance=decompose(here, block),
        near_ceiling=_near_ceiling(here, at),
    )


def check_arguments(trials: Trials, family: int, margin: float, target: float) -> None:
    """Raise for cells, family, margin or target that nothing can be computed with."""
    if not trials.cells:
        raise TableError("There are no cells to compare in: the list of declared cells is empty.")
    if family < 1:
        raise ValueError(f"The family is a number of comparisons, at least 1, not {family}.")
    if not (margin > 0 and target > 0):
        raise ValueError(f"Margin and target must be above 0, not {margin} and {target}.")


def comparisons(
    pairs: Pairs, names: Sequence[str], cells: Sequence[Cell], target: float
) -> tuple[Comparison, ...]:
    """One Comparison per cell and name, sorted by cell, then in the order of the names."""
    state = pairs.state
    test = t_test(pairs.difference, pairs.both, pairs.floor)
    spread, sd_ratio, spread_state = spread_test(pairs)
    floored = test.floored.astype(object)
    floored[np.isnan(test.t)] = None
    log_mean, log_sd = log_ratios(pairs)
    columns: dict[str, Any] = {
        "n_pairs": pairs.n_pairs,
        "n_diverged_pairs": pairs.n_diverged_pairs,
        "n_missing": pairs.n_missing,
        "state": state,
        "floored": floored,
        "mean_difference": test.mean,
        "sd_difference": test.sd,
        "t": test.t,
        "p": test.p,
        "ci_low": test.low,
        "ci_high": test.high,
        "p_bh": benjamini_hochberg(test.p),
        "p_sign_flip": sign_flip(pairs),
        "minimum_detectable": detectable(test.df + 1, test.sd),
        "log_mean": log_mean,
        "log_sd": log_sd,
        "spread_state": spread_state,
        "spread_sd_ratio": sd_ratio,
        "spread_t": spread.t,
        "spread_p": spread.p,
    }
    columns = {name: values.ravel() for name, values in columns.items()}
    cautious = cautious_sd(test.sd, test.df)
    columns["df"] = whole(test.df.ravel())
    columns["seeds_needed"] = whole(seeds_needed(target, test.sd).ravel())
    columns["seeds_needed_cautious"] = whole(seeds_needed(target, cautious).ravel())
    return rows(Comparison, _labels(cells, names) | columns)


def _labels(cells: Sequence[Cell], names: Sequence[str]) -> dict[str, list[str]]:
    """The columns dataset, architecture, recipe and treatment of rows sorted by cell, then name."""
    repeated = [cell for cell in cells for _ in names]
    return {
        **{key: [cell[i] for cell in repeated] for i, key in enumerate(CELL)},
        "treatment": list(names) * len(cells),
    }


def _arms(trials: Trials, order: list[int]) -> tuple[Arm, ...]:
    status = trials.status[:, order]
    ok = status == OK
    n = ok.sum(axis=-1)
    mean, sd = mean_and_sd(trials.outcome[:, order], ok)
    with np.errstate(invalid="ignore", divide="ignore"):
        half_width = t_quantile(np.where(n >= 3, n - 1.0, np.nan)) * sd / np.sqrt(n)
    columns: dict[str, Any] = {
        "n_ok": n,
        "n_diverged": (status == DIVERGED).sum(axis=-1),
        "n_infrastructure": ((status != ABSENT) & (status != OK) & (status != DIVERGED)).sum(-1),
        "mean": mean,
        "sd": sd,
        "half_width": np.where(sd > 0, half_width, np.nan),
    }
    flat = {name: values.ravel() for name, values in columns.items()}
    arms = rows(Arm, _labels(trials.cells, [trials.treatments[i] for i in order]) | flat)
    return tuple(arm for arm in arms if arm.n_ok + arm.n_diverged + arm.n_infrastructure)


def _near_ceiling(trials: Trials, baseline: int) -> tuple[Cell, ...]:
    outcome = trials.outcome[:, baseline]
    mean, _ = mean_and_sd(outcome, trials.status[:, baseline] == OK)
    few = (1.0 - mean) * trials.images < NEAR_CEILING_IMAGES
    return tuple(cell for cell, near in zip(trials.cells, few, strict=True) if near)
