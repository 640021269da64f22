"""Compares two arms in every cell, paired by seed: all cells and all pairs of arms at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmark.statistics.trials import ABSENT, DIVERGED, OK, Floats, Trials

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]

LEAST_PAIRS = 3
SPREAD_LEAST_PAIRS = 10
SIGN_FLIP_MOST_PAIRS = 12
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Pairs:
    """Runs of two arms paired by seed: masks and values are arrays [cell, comparison, seed].

    `both` marks the pairs in which both runs are ok, `trained` those in which both are ok or
    diverged, `present` the seeds that either arm has. `difference` (treatment less reference) and
    `log_ratio` (of their errors) are 0 outside `both`. `floor` and `log_floor` [cell, comparison]
    are the standard deviations that rounding to whole images alone gives them; `absent` says that
    an arm has no row in the cell. `only_treatment` and `only_baseline` mark the pairs in which
    that arm alone diverged. `outcomes` are those of the two arms; None where several comparisons
    are pooled.
    """

    both: Bools
    trained: Bools
    present: Bools
    difference: Floats
    log_ratio: Floats
    floor: Floats
    log_floor: Floats
    absent: Bools
    only_treatment: Bools
    only_baseline: Bools
    outcomes: tuple[Floats, Floats] | None

    @cached_property
    def n_pairs(self) -> Counts:
        return self.both.sum(axis=-1)

    @cached_property
    def n_diverged_pairs(self) -> Counts:
        return (self.trained & ~self.both).sum(axis=-1)

    @cached_property
    def n_missing(self) -> Counts:
        return (self.present & ~self.trained).sum(axis=-1)

    @cached_property
    def state(self) -> NDArray[np.str_]:
        """Per cell and comparison: absent, too_few, identical or tested."""
        identical = ~self.difference.any(axis=-1)
        conditions = [self.absent, self.n_pairs < LEAST_PAIRS, identical]
        return np.select(conditions, ["absent", "too_few", "identical"], "tested")


@dataclass(frozen=True, eq=False)
class TTest:
    """A t-test of the mean per cell and comparison; NaN where there are fewer than 3 values."""

    floored: Bools
    mean: Floats
    sd: Floats
    t: Floats
    df: Floats
    p: Floats
    low: Floats
    high: Floats

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> TTest:
        """No test anywhere."""
        return cls(np.zeros(shape, dtype=bool), *(np.full(shape, np.nan) for _ in range(7)))


def pair(trials: Trials, treatments: Sequence[int], references: Sequence[int]) -> Pairs:
    """Pair the arms treatments[i] and references[i], given by their places in `trials`."""
    first, second = trials.status[:, treatments], trials.status[:, references]
    both = _is(first, OK) & _is(second, OK)
    x, y = trials.outcome[:, treatments], trials.outcome[:, references]
    log_x, log_y = trials.log_error[:, treatments], trials.log_error[:, references]
    rounding = np.broadcast_to(1.0 / trials.images[:, None] / np.sqrt(6), both.shape[:2])
    with np.errstate(invalid="ignore"):
        log_error = total(np.where(both, log_x + log_y, 0.0)) / (2 * both.sum(axis=-1))
    return Pairs(
        both=both,
        trained=_is(first, OK, DIVERGED) & _is(second, OK, DIVERGED),
        present=~_is(first, ABSENT) | ~_is(second, ABSENT),
        difference=np.where(both, np.round(x - y, _DIGITS), 0.0),
        log_ratio=np.where(both, np.round(log_x - log_y, 12), 0.0),
        floor=rounding,
        log_floor=rounding / np.exp(log_error),
        absent=_every(_is(first, ABSENT), -1) | _every(_is(second, ABSENT), -1),
        only_treatment=_is(first, DIVERGED) & _is(second, OK),
        only_baseline=_is(first, OK) & _is(second, DIVERGED),
        outcomes=(np.where(both, x, 0.0), np.where(both, y, 0.0)),
    )


def pool(pairs: Pairs, among: Sequence[int]) -> Pairs:
    """Average the comparisons at the places `among`, seed by seed, into one.

    Runs that share a seed share data order and augmentation, so comparisons within a seed are not
    independent of one another; their average is one value per seed, and those are. A seed makes a
    pair if it does in every comparison. The rounding errors of the comparisons are independent, so
    their variances add. A seed counts as a failure of the arm that diverged alone more often.
    Without any place to average, nothing is paired.
    """

    def in_all(mask: Bools) -> Bools:
        return _every(mask[:, among], 1) & bool(among)

    both = in_all(pairs.both)
    only_treatment, only_baseline = pairs.only_treatment[:, among], pairs.only_baseline[:, among]
    net = only_treatment.sum(axis=1) - only_baseline.sum(axis=1)

    def average(values: Floats) -> Floats:
        return np.where(both, total(np.moveaxis(values[:, among], 1, -1)) / max(len(among), 1), 0.0)

    def rounding(values: Floats) -> Floats:
        return np.sqrt(total(values[:, among] ** 2)) / max(len(among), 1)

    whole = {
        "both": both,
        "trained": in_all(pairs.trained),
        "present": ~_every(~pairs.present[:, among], 1),
        "difference": np.round(average(pairs.difference), _DIGITS),
        "log_ratio": np.round(average(pairs.log_ratio), 12),
        "floor": rounding(pairs.floor),
        "log_floor": rounding(pairs.log_floor),
        "absent": ~_every(~pairs.absent[:, among], 1),
        "only_treatment": net > 0,
        "only_baseline": net < 0,
    }
    return Pairs(**{name: values[:, None] for name, values in whole.items()}, outcomes=None)


def t_test(values: Floats, among: Bools, floor: Floats) -> TTest:
    """The t-test of mean 0 along the last axis, over the values in `among`, with a floored sd.

    The sample standard deviation is 0 if all values agree (instead of the rounding noise of a
    mean) and is never taken smaller than `floor`, so that equal differences prove nothing beyond
    the resolution they were measured with. Above the floor this is `scipy.stats.ttest_1samp`.
    """
    n = among.sum(axis=-1)
    enough = n >= LEAST_PAIRS
    mean, sd = mean_and_sd(values, among)
    floored = enough & (sd < floor)
    sd = np.where(enough, np.maximum(sd, floor), np.nan)
    mean = np.where(enough, mean, np.nan)
    df = np.where(enough, n - 1.0, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        se = sd / np.sqrt(n)
    t = mean / se
    reach = t_quantile(df) * se
    return TTest(floored, mean, sd, t, df, two_sided(t, df), mean - reach, mean + reach)


def sign_flip(pairs: Pairs) -> Floats:
    """The exact sign-flip p value of the differences [cell, comparison]; NaN unless 3 to 12 pairs.

    It needs no normal differences, but its least value is 2/2^n.
    """
    p = np.full(pairs.n_pairs.shape, np.nan)
    for n in range(LEAST_PAIRS, SIGN_FLIP_MOST_PAIRS + 1):
        here = pairs.n_pairs == n
        if here.any():
            p[here] = flip_signs(pairs.difference[here][pairs.both[here]].reshape(-1, n))
    return p


def flip_signs(values: Floats) -> Floats:
    """The exact two-sided p value of every row's sum when each sign could as well be the other.

    The share of all 2^n patterns of signs whose sum is at least as far from 0 as the row's own:
    `scipy.stats.permutation_test((row,), np.mean, permutation_type="samples",
    n_resamples=np.inf)`, but with the values as whole multiples of 1e-9, so that ties are exact.
    """
    # float64 holds whole numbers below 2^53 exactly, and multiplies them far faster.
    whole = np.rint(values * 10.0**_DIGITS)
    sums = np.abs(whole @ _sign_patterns(values.shape[1]))
    return (sums >= np.abs(whole.sum(axis=1))[:, None]).mean(axis=1)


def spread_test(pairs: Pairs) -> tuple[TTest, Floats, NDArray[np.object_]]:
    """The paired Brown-Forsythe test, the ratio of the arms' sds, and the test's state.

    The t-test, with the same floor, of |x - median x| - |y - median y| over the pairs. The state
    is identical if all of these are 0, else tested. Below 10 pairs: NaN, NaN and None.
    """
    if pairs.outcomes is None:
        shape = pairs.n_pairs.shape
        return TTest.none(shape), np.full(shape, np.nan), np.full(shape, None)
    among = pairs.both & (pairs.n_pairs >= SPREAD_LEAST_PAIRS)[..., None]
    x, y = pairs.outcomes
    away = np.abs(x - _median(x, among)[..., None]) - np.abs(y - _median(y, among)[..., None])
    away = np.where(among, np.round(away, _DIGITS), 0.0)
    test = t_test(away, among, pairs.floor)
    sd_x, sd_y = mean_and_sd(x, among)[1], mean_and_sd(y, among)[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(sd_y > 0, sd_x / sd_y, np.nan)
    state = np.where(away.any(axis=-1), "tested", "identical").astype(object)
    state[np.isnan(test.t)] = None
    return test, ratio, state


def mean_and_sd(values: Floats, among: Bools) -> tuple[Floats, Floats]:
    """Mean and sample sd (ddof 1) along the last axis over the values in `among`; NaN if none.

    The sd is exactly 0 if all values agree, and NaN for a single one.
    """
    n = among.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(np.where(among, values, 0.0)) / n
        squares = total(np.where(among, values - mean[..., None], 0.0) ** 2)
        sd = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
    largest = np.where(among, values, -np.inf).max(axis=-1, initial=-np.inf)
    smallest = np.where(among, values, np.inf).min(axis=-1, initial=np.inf)
    return mean, np.where((largest == smallest) & (n > 1), 0.0, sd)


def total(values: Floats) -> Floats:
    """The sum along the last axis, added in order.

    NumPy's own sum adds in an order that depends on the length; this one gives the same bits
    however many places without a value a foreign treatment's seeds put in between.
    """
    if not values.shape[-1]:
        return np.zeros(values.shape[:-1])
    return np.cumsum(values, axis=-1)[..., -1]


def t_quantile(df: Floats, level: float = 0.975) -> Floats:
    """The quantile of Student's t elementwise, once per distinct number of degrees."""
    distinct, back = np.unique(df, return_inverse=True)
    quantile = np.asarray(scipy.special.stdtrit(distinct, level), dtype=np.float64)
    return quantile[back].reshape(df.shape)


def two_sided(t: Floats, df: Floats) -> Floats:
    """The two-sided p value of a t statistic."""
    return 2.0 * scipy.special.stdtr(df, -np.abs(t))


def _every(mask: Bools, axis: int) -> Bools:
    every: Bools = np.logical_and.reduce(mask, axis=axis)
    return every


def _is(status: NDArray[np.int8], *kinds: int) -> Bools:
    either: Bools = np.logical_or.reduce([status == kind for kind in kinds])
    return either


def _median(values: Floats, among: Bools) -> Floats:
    n = among.sum(axis=-1)
    ordered = np.sort(np.where(among, values, np.inf), axis=-1)
    middle = np.maximum(np.stack([(n - 1) // 2, n // 2], axis=-1), 0)
    low, high = np.moveaxis(np.take_along_axis(ordered, middle, axis=-1), -1, 0)
    return np.where(n > 0, (low + high) / 2, np.nan)


@cache
def _sign_patterns(n: int) -> Floats:
    """Half of all patterns of signs [n, 2^(n-1)]: the other half mirrors it."""
    bits = np.arange(2 ** (n - 1)) >> np.arange(n)[:, None] & 1
    return np.where(bits, -1.0, 1.0)
