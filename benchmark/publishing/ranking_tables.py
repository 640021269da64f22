"""The ranking as rows of text, and the treatments that are not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from benchmark.publishing.findings import Findings
from benchmark.publishing.manifests import Cell
from benchmark.publishing.marks import legend, letters, marks_used
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    Escape,
    cells_by_pairs,
    change,
    change_interval,
    listed,
    md,
    number,
    p_value,
    plain,
    share,
    significant,
)
from benchmark.statistics.paired import LEAST_PAIRS
from benchmark.statistics.results import Arm, Headline, Unranked
from benchmark.wording import counted


@dataclass(frozen=True)
class RankingRow:
    """A row of the ranking as text, the name of the treatment as it is."""

    rank: str
    treatment: str
    marks: str
    change: str
    interval: str
    p_family: str
    p_holm: str
    verdict: str
    detectable: str
    failures: str
    epochs: str
    milliseconds: str
    runs: str


def ranking_rows(findings: Findings) -> list[RankingRow]:
    """Return the baseline's row, then the ranked treatments by rank."""
    analysis = findings.analysis
    if analysis is None:
        return []
    ties = Counter(row.rank for row in analysis.ranking)
    plain_rows = _rows_without_rank(findings)
    baseline = replace(
        plain_rows[analysis.baseline],
        change="0",
        verdict="baseline",
        epochs=f"×1{_of_runs(findings, analysis.baseline)}" if findings.races() else NOTHING,
    )
    return [baseline] + [
        replace(
            plain_rows[row.treatment],
            rank=f"{row.rank}{'=' if ties[row.rank] > 1 else ''}",
            change=change(row.change_percent),
            interval=change_interval(row.low_percent, row.high_percent),
            p_family=p_value(row.p_family),
            p_holm=p_value(row.p_holm),
            verdict=findings.verdict(row),
            detectable=change(-row.detectable_percent) if row.state == "tested" else NOTHING,
        )
        for row in analysis.ranking
    ]


def rows_below_ranking(findings: Findings) -> list[RankingRow]:
    """Return the rows of the treatments without a rank: what is known of them stands there too."""
    rows = _rows_without_rank(findings)
    return [rows[name] for name, _ in unranked_rows(findings)]


def _rows_without_rank(findings: Findings) -> dict[str, RankingRow]:
    """Every treatment's row with all that needs no comparison over all cells, by its name."""
    failures, races, costs = findings.failures(), findings.races(), initialization_ms(findings)
    pairs, marks = _pairs(findings), findings.marks()
    rows = {}
    for name in findings.evidence.treatments:
        k_of_n, race = failures.get(name), races.get(name)
        ratio = race.overall.median_ratio if race else None
        epochs = NOTHING if ratio is None else f"×{number(ratio)}"
        rows[name] = RankingRow(
            rank=NOTHING,
            treatment=name,
            marks=letters(marks.get(name, ())),
            change=NOTHING,
            interval=NOTHING,
            p_family=NOTHING,
            p_holm=NOTHING,
            verdict="unranked",
            detectable=NOTHING,
            failures=share(k_of_n.k, k_of_n.n) if k_of_n else share(0, 0),
            epochs=epochs + _of_runs(findings, name) if race else NOTHING,
            milliseconds=significant(costs.get(name)),
            runs=pairs.get(name, NOTHING),
        )
    return rows


def _of_runs(findings: Findings, name: str) -> str:
    """In how many of its runs a treatment reached the target, in brackets behind its epochs."""
    return f" ({share(*(findings.reached or {}).get(name, (0, 0)))})"


def ranking_table(findings: Findings) -> str:
    """Return the ranking in markdown: eleven columns, and one of marks if a treatment has any."""
    baseline = md(findings.evidence.baseline)
    headers = (
        "Rank",
        "Treatment",
        *(("Marks",) if marks_used(findings.evidence.manifest) else ()),
        f"Test error against {baseline}, %",
        "95 % interval",
        "p, family-wise (Holm)",
        "Verdict",
        "Detectable, %",
        "Diverged, k/n",
        f"Epochs to target, × {baseline} (reached, k/n)",
        "Initialization, ms",
        "Cells × pairs",
    )
    rows = [
        (
            row.rank,
            md(row.treatment),
            *((row.marks,) if "Marks" in headers else ()),
            row.change,
            row.interval,
            row.p_family if row.p_holm == NOTHING else f"{row.p_family} ({row.p_holm})",
            _emphasised(row.verdict),
            row.detectable,
            row.failures,
            row.epochs,
            row.milliseconds,
            row.runs,
        )
        for row in ranking_rows(findings)
    ]
    return table(headers, rows, f"rl{'l' * (len(headers) - 11)}rrrlrrrrr")


def unranked_table(findings: Findings) -> str:
    """Return the treatments without a rank in markdown, with reasons; empty if there are none."""
    found = zip(rows_below_ranking(findings), unranked_rows(findings), strict=True)
    rows = [
        (f"{md(row.treatment)} {row.marks}".strip(), row.failures, reason)
        for row, (_, reason) in found
    ]
    return table(("Unranked", "Diverged, k/n", "Because"), rows, "lrl") if rows else ""


def unranked_rows(findings: Findings, escape: Escape = md) -> list[tuple[str, str]]:
    """Return the treatments without a rank, each with its reasons, names in these escaped."""
    analysis = findings.analysis
    if analysis is None:
        return []
    arms = findings.arms()
    rows = [
        (row.treatment, _because(row, analysis.baseline, arms, escape)) for row in analysis.unranked
    ]
    seen = {row.treatment for row in analysis.failures}
    rows += [(name, "no run yet") for name in findings.evidence.treatments if name not in seen]
    return rows


def ranking_notes(findings: Findings) -> list[str]:
    """Return what a reader of the ranking has to know, a sentence or two each."""
    analysis = findings.analysis
    if analysis is None or not analysis.ranking:
        return []
    notes = []
    unsettled = [
        md(row.treatment)
        for row in analysis.ranking
        if row.excludes_zero and not row.verdict.startswith(("better", "worse"))
    ]
    if unsettled:
        notes.append(
            f"The interval of {listed(unsettled)} excludes 0 without a verdict: the interval is"
            f" for one comparison, the verdict allows for {analysis.family}."
        )
    if analysis.near_ceiling:
        names = [md(" / ".join(cell)) for cell in analysis.near_ceiling]
        notes.append(
            f"In {listed(names)} the baseline errs on fewer than 10 test images, so one image is"
            " a large relative change."
        )
    if used := marks_used(findings.evidence.manifest):
        notes.append(
            f"Marks: {legend(used)}. A marked treatment gets help that the others do without."
        )
    return notes


def initialization_ms(findings: Findings) -> dict[str, float]:
    """Return each treatment's median milliseconds of initialization and rewiring together."""
    frame = findings.evidence.frame
    seconds = frame["seconds_initialization"] + frame["seconds_rewiring"].fillna(0.0)
    medians = (1000 * seconds).groupby(frame["treatment"], sort=False).median()
    return {str(name): float(value) for name, value in medians.items() if not pd.isna(value)}


def _pairs(findings: Findings) -> dict[str, str]:
    """Return "cells × pairs" for every treatment that has runs, "cells × runs" for the baseline."""
    counts: dict[str, list[int]] = {}
    for (_, treatment), row in findings.comparisons().items():
        counts.setdefault(treatment, []).append(row.n_pairs)
    arms, baseline = findings.arms(), findings.evidence.baseline
    own = [arms.get((cell, baseline)) for cell in findings.evidence.cells]
    counts[baseline] = [arm.n_ok if arm else 0 for arm in own]
    return {name: cells_by_pairs(found) for name, found in counts.items()}


def _emphasised(verdict: str) -> str:
    return f"**{verdict}**" if verdict.startswith(("better", "worse")) else verdict


def _because(
    row: Unranked, baseline: str, arms: Mapping[tuple[Cell, str], Arm], escape: Escape
) -> str:
    """Which cells a treatment lacks pairs in, and whether the baseline is the cause."""
    found: dict[str, list[str]] = {}
    for reason in row.reasons:
        cell = reason.dataset, reason.architecture, reason.recipe
        own, other = arms.get((cell, row.treatment)), arms.get((cell, baseline))
        lacking = _lacking(reason.state, own, other, escape(plain(baseline)))
        found.setdefault(lacking, []).append(escape(plain(" / ".join(cell))))
    return "; ".join(f"{why} {listed(cells, most=3)}" for why, cells in found.items())


def _lacking(state: str, own: Arm | None, other: Arm | None, baseline: str) -> str:
    """What a cell has not enough of, the arms' runs in it being `own` and `other`."""
    if state == "absent":
        if other:
            return "no run in"
        return f"no run of {baseline} in" if own else f"no run of it or {baseline} in"
    if other and other.n_ok < LEAST_PAIRS:
        others = counted(other.n_ok, "ok run")
        if own and own.n_ok >= LEAST_PAIRS:
            return f"fewer than 3 pairs, as {baseline} has {others}, in"
        return f"fewer than 3 pairs, as it has {own.n_ok if own else 0} and {baseline} {others}, in"
    return "fewer than 3 pairs in"


def headline_text(headline: Headline | None) -> str:
    """Return a headline's change with its interval, as one piece of text."""
    if headline is None:
        return NOTHING
    inside = change_interval(headline.low_percent, headline.high_percent)
    return f"{change(headline.change_percent)} % {inside}"
