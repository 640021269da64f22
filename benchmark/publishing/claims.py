"""The four claims about PA rewiring (arXiv:2207.08148), and what this board's evidence says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmark.publishing.findings import Findings
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    Escape,
    change_interval,
    counted,
    interval,
    listed,
    md,
    number,
    share,
    signed,
    significant,
)
from benchmark.statistics.contrasts import REWIRING, REWIRING_POOLED, Contrast

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
        f" {interval(found.low, found.high)}, over other {found.over}."
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
    rows = _pa_rows(findings, "status", "provenance")
    # A table's rows come from elsewhere: they have no provenance that would vouch for the check.
    checked = rows[rows["status"].isin(("ok", "diverged")) & rows["provenance"].map(bool)]
    if not len(checked):
        return Claim(claim, NO_EVIDENCE, "no run of pa by initbench has finished.")
    return Claim(
        claim,
        SUPPORTED,
        f"Every layer's sorted weights were compared before and after in each of"
        f" {counted(len(checked), 'run')} of pa: a run with other values ends as an error.",
    )


def _performance_improves(findings: Findings, escape: Escape) -> Claim:
    claim = "Performance improves in most cases, in training and in testing"
    pooled = [c for c in _pa_contrasts(findings, REWIRING_POOLED) if c.headline]
    single = _pa_contrasts(findings, REWIRING)
    differences = [
        row.mean_difference for each in single for row in each.comparisons if row.n_pairs >= 3
    ]
    if not differences:
        return Claim(claim, NO_EVIDENCE, "pa has no three pairs with its own initializer anywhere.")
    up = sum((value or 0) > 0 for value in differences)
    parts = [
        "Test accuracy is higher with pa than with the same initializer alone in"
        f" {share(up, len(differences))} (cell, initializer)"
    ]
    for contrast in pooled:
        headline = contrast.headline
        if headline:
            parts.append(
                f"averaged over {listed(map(escape, contrast.initializers))},"
                f" {escape(contrast.treatment)} changes the test error by"
                f" {signed(headline.change_percent, 1)} %"
                f" {change_interval(headline.low_percent, headline.high_percent)}:"
                f" {headline.verdict}"
            )
    faster = _first_epoch(findings)
    if faster:
        parts.append(f"validation accuracy after one epoch is higher in {share(*faster)} of them")
    verdicts = [contrast.headline.verdict for contrast in pooled if contrast.headline]
    word = NOT_SHOWN
    if verdicts and all(verdict == "better" for verdict in verdicts):
        word = SUPPORTED
    elif "worse" in verdicts:
        word = CONTRADICTED
    return Claim(claim, word, "; ".join(parts) + ".")


def _first_epoch(findings: Findings) -> tuple[int, int] | None:
    """In how many (cell, initializer) the first epoch's mean accuracy is higher with pa."""
    keys = ["dataset", "architecture", "recipe", "initializer", "rewiring"]
    frame = findings.evidence.frame[[*keys, "status", "epoch1_accuracy"]]
    ok = frame[(frame["status"] == "ok") & frame["epoch1_accuracy"].notna()]
    means = ok.groupby(keys, sort=True)["epoch1_accuracy"].mean().unstack("rewiring")
    if "none" not in means:
        return None
    higher = total = 0
    for rewiring in [name for name in means if _is_pa(str(name))]:
        difference = (means[rewiring] - means["none"]).dropna().to_numpy()
        higher, total = higher + int((difference > 0).sum()), total + len(difference)
    return (higher, total) if total else None


def _pa_contrasts(findings: Findings, name: str) -> list[Contrast]:
    family = findings.contrast_family(name)
    if family is None:
        return []
    if name == REWIRING_POOLED:
        return [each for each in family.contrasts if _is_pa(each.treatment)]
    rewirings = {
        str(each["treatment"]): str(each["rewiring"])
        for each in findings.evidence.manifest["treatments"]
    }
    return [each for each in family.contrasts if _is_pa(rewirings[each.treatment])]


def _pa_rows(findings: Findings, *columns: str) -> pd.DataFrame:
    frame = findings.evidence.frame
    names = frame["rewiring"]
    return frame.loc[names.isin(list(filter(_is_pa, names.unique()))), list(columns)]


def _is_pa(rewiring: str) -> bool:
    return rewiring.partition("(")[0] == "pa"


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
