"""The first three sentences of a board: what was compared, what was found, how sure."""

from __future__ import annotations

from collections import Counter

from benchmark.publishing.findings import Findings
from benchmark.publishing.text import (
    LEAST_PERCENT,
    Escape,
    change_digits,
    change_interval,
    listed,
    md,
    number,
    plain,
    share,
)
from benchmark.publishing.verdicts import VERDICTS
from benchmark.statistics.results import Headline
from benchmark.wording import counted

_SCOPES = {
    "data sets": "over data sets like these, on these architectures",
    "architectures": "over architectures like these, on these data sets",
    "data sets and architectures": "over data sets and architectures like these",
    "these cells": "over these cells and no others",
}


def sentences(findings: Findings, escape: Escape = md) -> list[str]:
    """Return the three sentences, with names passed through `escape`."""
    return [_compared(findings, escape), _found(findings, escape), _how_sure(findings)]


def scope(headline: Headline) -> str:
    """Say what a headline's interval generalises over."""
    return _SCOPES[headline.scope]


def what_seeds_vary(findings: Findings) -> str:
    """Say what differs between two seeds: the weights alone, or the order of the data too.

    Empty where the records are from tables, which do not say it.
    """
    if not findings.evidence.manifest["configs"]:
        return ""
    fixed: set[str] = set()
    per_seed: set[str] = set()
    for cell in findings.evidence.manifest["cells"]:
        varies = cell["recipe_content"].get("data_seed") == "per_seed"
        (per_seed if varies else fixed).add(plain(cell["recipe"]))
    data = "split, order and augmentation of the data"
    if not fixed:
        return f"From seed to seed the weights vary, and {data} too."
    where = f"With the recipes {listed(sorted(fixed))}, the" if per_seed else "The"
    return (
        f"{where} seeds vary the weights alone: {data} are the same for all of them, so p values"
        " and intervals hold for that one."
    )


def more_or_less(percent: float) -> str:
    """Return a relative change of the error in words."""
    size = number(abs(max(percent, LEAST_PERCENT)), change_digits(percent))
    return f"{size} % {'less' if percent < 0 else 'more'}"


def verdict_counts(findings: Findings) -> list[tuple[str, int]]:
    """Return how many ranked treatments have each verdict, in the order of VERDICTS."""
    ranking = findings.analysis.ranking if findings.analysis else ()
    counts = Counter(row.verdict for row in ranking)
    return [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]


def status_counts(findings: Findings) -> dict[str, int]:
    """Return how many trials ended in each status, in the order of frequency."""
    counts = findings.evidence.frame["status"].value_counts()
    return {
        str(status): int(n) for status, n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    }


def _compared(findings: Findings, escape: Escape) -> str:
    evidence = findings.evidence
    others = len(evidence.treatments) - 1
    cells = evidence.cells
    parts = [
        counted(len({cell[at] for cell in cells}), noun)
        for at, noun in enumerate(("data set", "architecture", "recipe"))
        if at < 2 or len({cell[at] for cell in cells}) > 1
    ]
    seeds = counted(len(evidence.manifest["seeds"]), "seed")
    counts = status_counts(findings)
    networks = counted(counts.get("ok", 0) + counts.get("diverged", 0), "network")
    compared = f"{counted(others, 'treatment was', 'treatments were')} compared with"
    if not others:
        compared = "No treatment was compared yet with"
    return (
        f"{compared} the baseline {escape(plain(evidence.baseline))} in"
        f" {counted(len(cells), 'cell')} ({', '.join(parts)}) with {seeds}: {networks} trained."
    )


def _found(findings: Findings, escape: Escape) -> str:
    if findings.analysis is None:
        return f"Nothing can be said yet: {escape(findings.problem)}."
    ranking = findings.analysis.ranking
    baseline = escape(plain(findings.evidence.baseline))
    if not ranking:
        return f"Nothing is ranked yet: that takes three pairs with {baseline} in every cell."
    first = [row for row in ranking if row.rank == 1]
    best = first[0]
    names = listed(escape(plain(_described(findings, row.treatment))) for row in first)
    counted_verdicts = verdict_counts(findings)
    counts = listed([f"{n} {verdict}" for verdict, n in counted_verdicts], most=9)
    if len(counted_verdicts) == 1:
        counts = f"all {counted_verdicts[0][0]}" if len(ranking) > 1 else counted_verdicts[0][0]
    by = f"{more_or_less(best.change_percent)} than {baseline}"
    inside = f"95 % interval {change_interval(best.low_percent, best.high_percent)} %"
    if best.estimate < 0:
        have = "has" if len(first) == 1 else "have"
        found = f"{names} {have} the smallest test error on average over the cells: {by}, {inside}"
    else:
        found = (
            f"No ranked treatment has a smaller test error than {baseline} on average over the"
            f" cells; closest comes {names} with {by}, {inside}"
        )
    return f"{found}; verdicts of {counted(len(ranking), 'ranked treatment')}: {counts}."


def _described(findings: Findings, treatment: str) -> str:
    """A treatment with what its method does besides filling weights."""
    marks = findings.marks()[treatment]
    return treatment + (f" ({listed(mark.meaning for mark in marks)})" if marks else "")


def _how_sure(findings: Findings) -> str:
    evidence = findings.evidence
    declared = len(evidence.manifest["trials"])
    counts = status_counts(findings)
    with_result = counts.get("ok", 0) + counts.get("diverged", 0)
    gaps = (
        f"{share(counts.get('diverged', 0), with_result)} runs diverged, and"
        f" {share(declared - with_result, declared)} trials have no result"
    )
    if findings.analysis is None or not findings.analysis.ranking:
        return f"So far, {gaps}."
    decided = any(row.verdict.startswith(("better", "worse")) for row in findings.analysis.ranking)
    error = number(findings.analysis.family_error_percent, 0)
    chance = "that any better or worse in the ranking is wrong"
    if not decided:
        chance = "of a better or worse in the ranking where nothing differs"
    return (
        f"Runs are paired by seed; the chance {chance} is at most {error} %"
        f" (every further table has its own), {scope(findings.analysis.ranking[0])}; {gaps}."
    )
