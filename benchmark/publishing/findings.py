"""Everything that a board says, computed once from its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmark.errors import UsageError
from benchmark.publishing.evidence import CELL, Evidence, as_list
from benchmark.publishing.manifests import Cell, contrast_sizes, founders, founding
from benchmark.publishing.marks import Mark, marks_of
from benchmark.publishing.verdicts import with_failures
from benchmark.spelling import bare
from benchmark.statistics import TableError, analyse, arrange
from benchmark.statistics.association import Association, associate, associations
from benchmark.statistics.contrasts import ContrastFamily, contrast_families
from benchmark.statistics.early import EarlyTraining, EpochsToTarget, early_training
from benchmark.trial import RESULTS

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.statistics.results import Analysis, Arm, Comparison, Failures, Headline
    from benchmark.statistics.trials import Trials

TARGET_SHARE = 0.95
"""A cell's target: this share of the baseline's median validation accuracy at the last epoch."""

STRENGTH = "strength_variance_after"
EPOCHS = "epochs_to_target"
_EARLY = ("epoch1_accuracy", "area_under_validation_curve")


@dataclass(frozen=True)
class Findings:
    """The evidence with the analyses that rest on it.

    `analysis` and what follows it are None or empty where `problem` says why nothing can be
    compared. `first_epoch` holds the contrasts of pa with none in the validation accuracy after one
    epoch. `targets` are the validation accuracies that count as trained, `reached` how many of each
    treatment's runs, of those that are ok or diverged, trained so far. `trials` is the arranged
    table for further comparisons.
    """

    evidence: Evidence
    problem: str | None = None
    trials: Trials | None = None
    analysis: Analysis | None = None
    contrasts: tuple[ContrastFamily, ...] = ()
    early: EarlyTraining | None = None
    first_epoch: tuple[ContrastFamily, ...] = ()
    strength: Association | None = None
    measures: tuple[Association, ...] = ()
    targets: dict[Cell, float] | None = None
    reached: dict[str, tuple[int, int]] | None = None

    def arms(self) -> dict[tuple[Cell, str], Arm]:
        """How the runs of each treatment ended, by cell and treatment."""
        rows = self.analysis.arms if self.analysis else ()
        return {((r.dataset, r.architecture, r.recipe), r.treatment): r for r in rows}

    def comparisons(self) -> dict[tuple[Cell, str], Comparison]:
        """The comparisons with the baseline, by cell and treatment."""
        rows = self.analysis.comparisons if self.analysis else ()
        return {(row.cell, row.treatment): row for row in rows}

    def failures(self) -> dict[str, Failures]:
        """How often training failed, by treatment."""
        return {row.treatment: row for row in (self.analysis.failures if self.analysis else ())}

    def verdict(self, row: Headline) -> str:
        """The verdict on a treatment, beside both arms' failures where it leaves out more of its.

        `row` is of any table against the baseline.
        """
        failures = self.failures()
        own, baseline = failures.get(row.treatment), failures.get(self.evidence.baseline)
        return with_failures(row.verdict, own, baseline)

    def races(self) -> dict[str, EpochsToTarget]:
        """The races to the target against the baseline, by treatment."""
        rows = (self.early.epochs if self.early else None) or ()
        return {row.treatment: row for row in rows}

    def marks(self) -> dict[str, tuple[Mark, ...]]:
        """What the methods do besides filling weights, by treatment."""
        return marks_of(self.evidence.manifest)

    def contrast_family(self, name: str) -> ContrastFamily | None:
        """The contrast family of that name, if the treatments allow it."""
        return next((family for family in self.contrasts if family.name == name), None)


def find(evidence: Evidence) -> Findings:
    """Analyse the evidence of a board.

    Raises UsageError for records that the statistics refuse, such as an ok without accuracy.
    """
    frame, baseline = evidence.frame, evidence.baseline
    if not len(frame):
        return Findings(evidence, problem="no trial has finished yet")
    present = set(as_list(frame["treatment"]))
    if baseline not in present:
        return Findings(evidence, problem=f"the baseline {baseline} has no finished trial yet")
    targets, reached = epochs_to_target(evidence)
    frame = frame.assign(**{EPOCHS: reached})
    manifest = evidence.manifest
    rules: dict[str, Any] = {key: manifest[key] for key in ("margin", "target")}
    rules["cells"] = evidence.cells
    named = [
        (each["a"], each["b"])
        for each in manifest["contrasts"]
        if {each["a"], each["b"]} <= present
    ]
    try:
        trials = arrange(frame, columns=[STRENGTH])
        return Findings(
            evidence,
            trials=trials,
            analysis=analyse(trials, baseline, manifest["family"], **rules),
            contrasts=contrast_families(
                trials, named, contrast_sizes(manifest), pooled=founders(manifest), **rules
            ),
            early=early_training(_known_early(frame), baseline, manifest["family"], **rules),
            first_epoch=_first_epoch(frame, manifest, rules),
            strength=associate(trials, STRENGTH, cells=evidence.cells)
            if frame[STRENGTH].notna().any()
            else None,
            measures=associations(frame, "measures", cells=evidence.cells)
            if frame["measures"].notna().any()
            else (),
            targets=targets,
            reached=_reached(frame),
        )
    except TableError as error:
        raise UsageError(f"these records cannot be compared: {error}") from error


def epochs_to_target(evidence: Evidence) -> tuple[dict[Cell, float], np.ndarray]:
    """Return each cell's target and, for each row, the first epoch that reached it, else NaN.

    The target is TARGET_SHARE of the median over the baseline's ok runs of the validation accuracy
    at the last epoch: it hangs on no other treatment. A cell without such runs has none.
    """
    frame, curves = evidence.frame, evidence.curves
    epochs = np.full(len(frame), np.nan)
    targets: dict[Cell, float] = {}
    length = (~np.isnan(curves)).sum(axis=1)
    ok = (frame["status"] == "ok").to_numpy() & (length > 0)
    of_baseline = ok & (frame["treatment"] == evidence.baseline).to_numpy()
    for cell, rows in frame.groupby(list(CELL), sort=True).indices.items():
        own = rows[of_baseline[rows]]
        if not len(own):
            continue
        last = curves[own, length[own] - 1].astype(np.float64)
        target = TARGET_SHARE * float(np.median(last))
        targets[cast(Cell, cell)] = target
        reached = curves[rows].astype(np.float64) >= target - 1e-7
        first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.nan)
        epochs[rows] = np.where(ok[rows], first, np.nan)
    return targets, epochs


def _reached(frame: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Of each treatment's runs that are ok or diverged: those that reached the target, and all."""
    trained = frame.loc[frame["status"].isin(RESULTS), ["treatment", EPOCHS]]
    counts = trained.groupby("treatment", sort=False)[EPOCHS].agg(["count", "size"])
    return {str(name): (int(k), int(n)) for name, k, n in counts.itertuples()}


def _first_epoch(
    frame: pd.DataFrame, manifest: dict[str, Any], rules: dict[str, Any]
) -> tuple[ContrastFamily, ...]:
    """The contrasts of the founding pa with none after one epoch; none where some run lacks it."""
    asked = {
        str(each["treatment"])
        for each in founding(manifest)
        if bare(str(each["rewiring"])) in ("none", "pa")
    }
    known = _known_early(frame[frame["treatment"].isin(asked)])
    if "epoch1_accuracy" not in known or not len(known):
        return ()
    return contrast_families(
        known,
        families=contrast_sizes(manifest),
        outcome="epoch1_accuracy",
        n_column="n_validation",
        pooled=founders(manifest),
        **rules,
    )


def _known_early(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the measures of early training that some ok runs lack: tables may not have them."""
    ok = frame.loc[frame["status"] == "ok", [*_EARLY, "n_validation"]]
    known = ok["n_validation"].notna().all()
    lacking = [column for column in _EARLY if not known or ok[column].isna().any()]
    if not frame[EPOCHS].notna().any():
        lacking.append(EPOCHS)
    return frame.drop(columns=lacking)
