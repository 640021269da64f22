"""The four claims about PA rewiring (arXiv:2207.08148), and what this board's evidence says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.publishing.contrast_tables import averaged_over, qualified
from benchmark.publishing.findings import Findings
from benchmark.publishing.manifests import founding
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    Escape,
    change_interval,
    interval,
    md,
    number,
    share,
    signed,
    significant,
)
from benchmark.spelling import bare
from benchmark.statistics.contrasts import REWIRING, REWIRING_POOLED, ContrastFamily
from benchmark.statistics.paired import LEAST_PAIRS
from benchmark.trial import CHANGED_VALUES, RESULTS
from benchmark.wording import counted

if TYPE_CHECKING:
    import pandas as pd

GREATLY = 0.5
"""Claim 2 counts as supported where 9 of 10 runs keep less than this share of the variance."""

SUPPORTED, CONTRADICTED, NOT_SHOWN = "supported", "contradicted", "not shown"
NO_EVIDENCE = "no evidence here"


@dataclass(frozen=True)
class Claim:
    """A claim, a word for how the evidence stands, and the evidence."""

    claim: str
    word: str
    evidence: str


def claims(findings: Findings, escape: Escape = md) -> list[Claim]:
    """Return the four claims with this board's evidence, names in it escaped."""
    return [
        _variance_predicts(findings),
        _pa_lowers_variance(findings),
        _weights_are_kept(findings),
        _performance_improves(findings, escape),
    ]


def claims_table(findings: Findings) -> str:
    """Return the claims in markdown."""
    rows = [(each.claim, f"**{each.word}**", each.evidence) for each in claims(findings)]
    return table(("Claim of the paper", "Here", "Evidence"), rows, "lll")


def _variance_predicts(findings: Findings) -> Claim:
    claim = "A higher strength variance may decrease performance, a lower one usually improves it"
    found = findings.strength
    if found is None or found.rho is None:
        reason = found.reason if found and found.reason else "no record has a strength variance"
        return Claim(claim, NO_EVIDENCE, f"{reason}.")
    evidence = (
        f"Spearman's ρ between strength variance and test accuracy over the treatments'"
        f" means, averaged over {counted(found.n_cells, 'cell')}: {signed(found.rho)}"
        + (
            f" {interval(found.low, found.high)}, over other {found.over}."
            if found.over
            else f". That is a description without an interval: {found.reason}."
        )
    )
    word = NOT_SHOWN
    if found.high is not None and found.high < 0:
        word = SUPPORTED
    elif found.low is not None and found.low > 0:
        word = CONTRADICTED
    return Claim(claim, word, evidence)


def _pa_lowers_variance(findings: Findings) -> Claim:
    claim = "PA rewiring greatly reduces that variance"
    rows = _pa_rows(findings, "strength_variance_before", "strength_variance_after")
    before, after = rows["strength_variance_before"], rows["strength_variance_after"]
    factors = (after / before)[(before > 0) & after.notna()].to_numpy()
    if not len(factors):
        return Claim(claim, NO_EVIDENCE, "no finished run of pa has a strength variance.")
    low, median, high = np.quantile(factors, [0.1, 0.5, 0.9], method="inverted_cdf")
    word = SUPPORTED if high < GREATLY else NOT_SHOWN
    if median >= 1:
        word = CONTRADICTED
    return Claim(
        claim,
        word,
        f"Mean over layers after pa, as a multiple of that before: median"
        f" ×{significant(median)}, 10 to 90 % of {counted(len(factors), 'run')}"
        f" ×{significant(low)} to ×{significant(high)}.",
    )


def _weights_are_kept(findings: Findings) -> Claim:
    claim = "Rewiring only reorganises connections: the weights' values are kept"
    rows = _pa_rows(findings, "status", "provenance", "message")
    # A table's rows come from elsewhere: they have no provenance that would vouch for the check.
    rows = rows[rows["provenance"].map(bool).astype(bool)]
    finished = rows["status"].isin(RESULTS)
    changed = ~finished & rows["message"].fillna("").str.contains(CHANGED_VALUES, regex=False)
    checked, refused = int(finished.sum()), int(changed.sum())
    if not checked + refused:
        return Claim(claim, NO_EVIDENCE, "no run of pa by initbench has finished.")
    evidence = (
        f"Every layer's sorted weights were compared before and after in each of"
        f" {counted(checked, 'run')} of pa that finished; a run with other values ends as an error,"
        f" as {refused or 'none'} did."
    )
    if unknown := len(rows) - checked - refused:
        evidence += f" Of {counted(unknown, 'further run')} without a result nothing is known."
    return Claim(claim, CONTRADICTED if refused else SUPPORTED, evidence)


def _performance_improves(findings: Findings, escape: Escape) -> Claim:
    claim = "Performance improves in most cases, in training and in testing"
    testing = _half(findings, findings.contrasts, "test error", escape)
    if testing is None:
        reason = "no pa that the board was founded with has three pairs with its own initializer."
        return Claim(claim, NO_EVIDENCE, reason)
    training = _half(findings, findings.first_epoch, "error after one epoch", escape)
    if training is None:
        evidence = f"In testing, {testing.text}. Of training nothing is known: some run lacks its"
        evidence += " validation accuracy after one epoch."
    else:
        evidence = f"In testing, {testing.text}. In training, by validation, {training.text}."
    words = {half.word for half in (testing, training) if half}
    word = NOT_SHOWN
    if CONTRADICTED in words:
        word = CONTRADICTED
    elif training and words == {SUPPORTED}:
        word = SUPPORTED
    return Claim(claim, word, evidence)


@dataclass(frozen=True)
class _Half:
    """What the evidence says of testing, or of training."""

    word: str
    text: str


def _half(
    findings: Findings, families: Iterable[ContrastFamily], error: str, escape: Escape
) -> _Half | None:
    """Sum up pa against none in one outcome; None where nothing was compared.

    What was left out could have been otherwise, so that with it nothing is shown.
    """
    found = {family.name: family.contrasts for family in families}
    single = [row for row in found.get(REWIRING, ()) if row.treatment in _founding_pa(findings)]
    pooled = [row for row in found.get(REWIRING_POOLED, ()) if _is_pa(row.treatment)]
    cases = [row for contrast in single for row in contrast.comparisons]
    compared = [row for row in cases if row.n_pairs >= LEAST_PAIRS]
    if not compared:
        return None
    less = sum((row.mean_difference or 0) > 0 for row in compared)
    lacking = len(cases) - len(compared)
    parts = [f"the mean {error} is less with pa in {share(less, len(cases))} (cell, initializer)"]
    if lacking:
        parts[0] += f", and not compared in {lacking} without three pairs"
    for contrast in pooled:
        headline = contrast.headline
        over = f"averaged over {averaged_over(contrast, escape)}, {escape(contrast.treatment)}"
        if headline:
            inside = change_interval(headline.low_percent, headline.high_percent)
            change = f"{signed(headline.change_percent, 1)} % {inside}"
            parts.append(f"{over} changes it by {change}: {qualified(contrast, headline.verdict)}")
        else:
            parts.append(f"{over} is not tested")
    verdicts = [each.headline.verdict if each.headline else None for each in pooled]
    word = NOT_SHOWN
    if pooled and not any(contrast.left_out for contrast in pooled):
        if "worse" in verdicts:
            word = CONTRADICTED
        elif set(verdicts) == {"better"} and 2 * less > len(cases):
            word = SUPPORTED
    return _Half(word, "; ".join(parts))


def _founding_pa(findings: Findings) -> set[str]:
    """The treatments with pa that the board was founded with."""
    return {
        str(each["treatment"])
        for each in founding(findings.evidence.manifest)
        if _is_pa(str(each["rewiring"]))
    }


def _pa_rows(findings: Findings, *columns: str) -> pd.DataFrame:
    frame = findings.evidence.frame
    names = frame["rewiring"]
    return frame.loc[names.isin(list(filter(_is_pa, names.unique()))), list(columns)]


def _is_pa(rewiring: str) -> bool:
    return bare(rewiring) == "pa"


def published() -> str:
    """Return what the paper's authors published on CIFAR-10, in markdown."""
    rows = [
        (model, weights, f"{number(mean)} ± {number(sd)}", f"{number(first)} ± {number(first_sd)}")
        for model, weights, mean, sd, first, first_sd in _PUBLISHED
    ]
    headers = ("Model", "Weights", "Test accuracy, % (± sd)", "Epoch 1 validation, % (± sd)")
    return table(headers, rows, "llrr")


_PUBLISHED = (
    ("ResNet50", "Kaiming normal", 92.29, 0.35, 13.92, 3.17),
    ("ResNet50", "+ PA", 92.37, 0.26, 13.91, 2.61),
    ("SL-ViT", "orthogonal", 89.10, 0.29, 22.42, 0.68),
    ("SL-ViT", "+ PA", 89.13, 0.26, 24.35, 0.91),
    ("ConvMixer", "orthogonal", 93.69, 0.14, 38.54, 1.35),
    ("ConvMixer", "+ PA", 93.77, 0.13, 39.16, 1.31),
)
