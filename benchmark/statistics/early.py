"""Early training as a claim of its own: first epoch, area under the curve, epochs to the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.statistics.analysis import analyse
from benchmark.statistics.failures import sign_test
from benchmark.statistics.paired import Bools
from benchmark.statistics.results import Analysis, plain
from benchmark.statistics.table import TableError, shares
from benchmark.statistics.trials import DIVERGED, OK, Cell, Floats, Trials, arrange

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Race:
    """Which arm of a pair reached the target first, over `n_pairs` pairs of runs.

    `first_treatment` + `first_baseline` + `ties` = `n_pairs`; a tie is the same epoch, or neither.
    `reached_treatment` and `reached_baseline` are out of `n_pairs`. `median_ratio` is that of the
    treatment's epochs to the baseline's over the `n_both_reached` pairs; below 1 is faster. `p` is
    the exact two-sided sign test of the pairs that are no ties.
    """

    n_pairs: int
    first_treatment: int
    first_baseline: int
    ties: int
    reached_treatment: int
    reached_baseline: int
    n_both_reached: int
    median_ratio: float | None
    p: float


@dataclass(frozen=True, slots=True)
class EpochsToTarget:
    """One treatment's race against the baseline over all cells and, in their order, in each.

    `lacking` lists the cells without any pair; with one, `verdict` is None: nobody wins by
    skipping a cell. Otherwise it is `faster`, `slower` (p_family < .05) or `no difference shown`.
    """

    treatment: str
    overall: Race
    per_cell: tuple[Race, ...]
    cells: tuple[Cell, ...]
    lacking: tuple[Cell, ...]
    family: int
    p_family: float
    verdict: str | None


@dataclass(frozen=True, slots=True)
class EarlyTraining:
    """The three measures of early training; one whose column the table lacks is None."""

    baseline: str
    epoch1: Analysis | None
    area: Analysis | None
    epochs: tuple[EpochsToTarget, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "epoch1": self.epoch1.to_dict() if self.epoch1 else None,
            "area": self.area.to_dict() if self.area else None,
            "epochs": plain(self.epochs),
        }


def early_training(
    table: pd.DataFrame,
    baseline: str,
    family: int | None = None,
    margin: float = 0.05,
    target: float = 0.005,
    cells: Iterable[Sequence[str]] | None = None,
    epoch1_column: str = "epoch1_accuracy",
    area_column: str = "area_under_validation_curve",
    epochs_column: str = "epochs_to_target",
    n_column: str = "n_validation",
) -> EarlyTraining:
    """Analyse what the table tells of early training, with the rules and arguments of `analyse`.

    The first two columns are validation accuracies measured on `n_column` images; the area is the
    mean of the curve over its epochs. Raises TableError for a bad table or an unknown baseline.
    """
    declared = None if cells is None else list(cells)
    measured = [name for name in (epoch1_column, area_column) if name in table.columns]
    timed = [epochs_column] if epochs_column in table.columns else []
    outcome, images = (measured[0], n_column) if measured else ("accuracy", None)
    trials = arrange(table, outcome, images, [*measured[1:], *timed])
    for name in measured[1:]:
        shares(table, name)

    def accuracies(column: str) -> Analysis | None:
        if column not in measured:
            return None
        arranged = trials if column == trials.outcome_name else _measuring(trials, column)
        return analyse(arranged, baseline, family, margin, target, declared)

    return EarlyTraining(
        baseline=baseline,
        epoch1=accuracies(epoch1_column),
        area=accuracies(area_column),
        epochs=epochs_to_target(trials, baseline, family, declared, epochs_column)
        if timed
        else None,
    )


def _measuring(trials: Trials, column: str) -> Trials:
    """The same trials with one of their columns as the outcome."""
    outcome = np.where(trials.status == OK, trials.columns[column], np.nan)
    return replace(trials, outcome=outcome, outcome_name=column)


def epochs_to_target(
    table: pd.DataFrame | Trials,
    baseline: str,
    family: int | None = None,
    cells: Iterable[Sequence[str]] | None = None,
    column: str = "epochs_to_target",
) -> tuple[EpochsToTarget, ...]:
    """Race every treatment against the baseline to the cell's target, paired by seed.

    `column` holds the epoch at which a run reached its cell's target, empty if it never did. Such
    a run is censored, not dropped: it loses against one that did. So does a run that diverged,
    wherever it had been before. Runs lost to infrastructure make no pair. The test is about these
    cells and treats every pair as one toss of a coin. Sorted by treatment. Raises TableError for a
    bad table, an unknown baseline, or epochs that are not above 0.
    """
    trials = table if isinstance(table, Trials) else arrange(table, n_column=None, columns=[column])
    at = trials.index(baseline)
    here = trials.on(trials.cells_with(baseline) if cells is None else cells)
    ok = here.status == OK
    epochs = np.where(ok, here.columns[column], np.nan)
    if not (np.isnan(epochs) | ((epochs > 0) & np.isfinite(epochs))).all():
        raise TableError(
            f"The column {column!r} has values that are no epochs: write 1, 2, 3, ..., "
            "and leave the field empty for a run that never reached the target."
        )
    epochs = np.where(np.isnan(epochs), np.inf, epochs)
    trained = ok | (here.status == DIVERGED)
    others = [i for i in range(len(here.treatments)) if i != at]
    family = family or max(len(others), 1)
    return tuple(
        _against(here, i, epochs[:, i], epochs[:, at], trained[:, i] & trained[:, at], family)
        for i in others
    )


def _against(
    trials: Trials, place: int, epochs: Floats, baseline: Floats, pairs: Bools, family: int
) -> EpochsToTarget:
    """`epochs`, `baseline` (infinite if never reached) and `pairs` are [cell, seed]."""
    overall = _race(epochs[pairs], baseline[pairs])
    per_cell = tuple(
        _race(own[of], other[of]) for own, other, of in zip(epochs, baseline, pairs, strict=True)
    )
    lacking = tuple(
        cell for cell, race in zip(trials.cells, per_cell, strict=True) if not race.n_pairs
    )
    p_family = min(1.0, family * overall.p)
    verdict = "no difference shown"
    if p_family < ALPHA:
        verdict = "faster" if overall.first_treatment > overall.first_baseline else "slower"
    return EpochsToTarget(
        treatment=trials.treatments[place],
        overall=overall,
        per_cell=per_cell,
        cells=trials.cells,
        lacking=lacking,
        family=family,
        p_family=p_family,
        verdict=None if lacking else verdict,
    )


def _race(treatment: Floats, baseline: Floats) -> Race:
    first, second = int((treatment < baseline).sum()), int((baseline < treatment).sum())
    both = np.isfinite(treatment) & np.isfinite(baseline)
    return Race(
        n_pairs=len(treatment),
        first_treatment=first,
        first_baseline=second,
        ties=len(treatment) - first - second,
        reached_treatment=int(np.isfinite(treatment).sum()),
        reached_baseline=int(np.isfinite(baseline).sum()),
        n_both_reached=int(both.sum()),
        median_ratio=float(np.median(treatment[both] / baseline[both])) if both.any() else None,
        p=float(sign_test(first, second)),
    )
