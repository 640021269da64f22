"""Every treatment against every other: what the page shows when a reader picks the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.publishing.cell_tables import MARK_LEVEL
from benchmark.publishing.findings import Findings
from benchmark.statistics.failures import discordant, diverges_more
from benchmark.statistics.paired import pair, t_test
from benchmark.statistics.ranking import benjamini_hochberg, headlines, ranked
from benchmark.statistics.results import Analysis, Headline
from benchmark.statistics.trials import Trials


@dataclass(frozen=True)
class EveryPair:
    """All comparisons of two treatments that have runs, each as `analyse` finds it.

    `names` are the treatments by name. `rankings[b]` is the ranking with names[b] as the baseline.
    `first` and `second` are the places of the pairs' arms, first < second; `difference` and
    `half_width` [cell, pair] are accuracy of the first minus that of the second and half the 95 %
    interval, NaN below three pairs; `marked` those that stand out among their pair's cells.
    """

    names: tuple[str, ...]
    rankings: tuple[tuple[Headline, ...], ...]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    difference: NDArray[np.float64]
    half_width: NDArray[np.float64]
    marked: NDArray[np.bool_]


def every_pair(findings: Findings) -> EveryPair:
    """Compare every two treatments, with the rules of the board's own analysis."""
    analysis, trials = findings.analysis, findings.trials
    if analysis is None or trials is None:
        nothing = np.zeros((len(findings.evidence.cells), 0))
        places = np.zeros(0, dtype=np.intp)
        return EveryPair((), (), places, places, nothing, nothing, nothing.astype(bool))
    here = trials.on(analysis.cells)
    n = len(here.treatments)
    first, second = np.triu_indices(n, 1)
    pairs = pair(here, first.tolist(), second.tolist())
    test = t_test(pairs.difference, pairs.both, pairs.floor)
    p = benjamini_hochberg(test.p)
    return EveryPair(
        names=here.treatments,
        rankings=tuple(_ranking(analysis, here, at) for at in range(n)),
        first=first,
        second=second,
        difference=test.mean,
        half_width=(test.high - test.low) / 2,
        marked=np.nan_to_num(p, nan=1.0) < MARK_LEVEL,
    )


def _ranking(analysis: Analysis, here: Trials, at: int) -> tuple[Headline, ...]:
    others = [i for i in range(len(here.treatments)) if i != at]
    pairs = pair(here, others, [at] * len(others))
    found, _ = headlines(
        pairs,
        [here.treatments[i] for i in others],
        here.cells,
        diverges_more(*discordant(pairs)),
        analysis.family,
        analysis.margin,
    )
    return ranked(found)
