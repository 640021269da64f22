"""How often training fails: shares with their intervals, and whether one arm fails more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from benchmark.statistics.paired import Bools, Counts, Pairs
from benchmark.statistics.results import Failures, rows
from benchmark.statistics.trials import DIVERGED, OK, Floats, Trials


def count_failures(trials: Trials) -> tuple[Counts, Counts]:
    """Per treatment, how many runs diverged, of how many that are ok or diverged."""
    diverged = (trials.status == DIVERGED).sum(axis=(0, 2))
    return diverged, diverged + (trials.status == OK).sum(axis=(0, 2))


def discordant(pairs: Pairs) -> tuple[Counts, Counts]:
    """Per comparison, the pairs in which the treatment alone, and the reference alone, diverged."""
    return pairs.only_treatment.sum(axis=(0, 2)), pairs.only_baseline.sum(axis=(0, 2))


def wilson(k: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """The 95 % Wilson interval of k of n; NaN where n is 0.

    Equals `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`.
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = scipy.special.ndtri(0.975)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = np.where(k == 0, 0.0, centre - reach)
    high = np.where(k == n, 1.0, centre + reach)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def sign_test(one: ArrayLike, other: ArrayLike) -> Floats:
    """The exact two-sided sign test of two counts, which on discordant pairs is McNemar's.

    Equals `scipy.stats.binomtest(one, one + other, 0.5).pvalue`; 1 where both counts are 0.
    """
    one, other = np.asarray(one, dtype=np.int64), np.asarray(other, dtype=np.int64)
    return np.minimum(2.0 * scipy.special.bdtr(np.minimum(one, other), one + other, 0.5), 1.0)


def diverges_more(only_treatment: Counts, only_baseline: Counts) -> Bools:
    """Whether the treatment diverges more often, by the sign test at the 5 % level."""
    return (sign_test(only_treatment, only_baseline) < 0.05) & (only_treatment > only_baseline)


def failure_rows(
    names: Sequence[str], k: Counts, n: Counts, pairs: Pairs, reference: int
) -> tuple[Failures, ...]:
    """One Failures per name: k of n, and for all but the reference the test against it.

    `pairs` has one comparison for every name but that at the place `reference`, in this order.
    """
    low, high = wilson(k, n)
    only_treatment, only_baseline = discordant(pairs)
    columns: dict[str, Any] = {
        "only_treatment": only_treatment,
        "only_baseline": only_baseline,
        "p": sign_test(only_treatment, only_baseline),
        "diverges_more": diverges_more(only_treatment, only_baseline),
    }
    tested = {name: values.tolist() for name, values in columns.items()}
    for values in tested.values():
        values.insert(reference, None)
    shares = {"k": k, "n": n, "wilson_low": low, "wilson_high": high}
    return rows(Failures, {"treatment": names} | shares | tested)
