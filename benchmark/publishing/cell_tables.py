"""One table a cell: every treatment's accuracy, and its paired difference to the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmark.publishing.findings import Findings
from benchmark.publishing.manifests import Cell
from benchmark.publishing.tables import table
from benchmark.publishing.text import (
    NOTHING,
    interval,
    md,
    number,
    p_value,
    percent,
    share,
    signed,
)
from benchmark.statistics.results import Arm, Comparison
from benchmark.wording import counted

MARK_LEVEL = 0.05
_FOLDED_FROM = 150
"""Boards with more rows than this fold their cells' tables away."""


def cell_sections(findings: Findings) -> Iterator[str]:
    """Yield a heading with a table for every cell, folded on large boards."""
    evidence = findings.evidence
    folded = len(evidence.cells) * len(evidence.treatments) > _FOLDED_FROM
    for cell in evidence.cells:
        name = md(" / ".join(cell))
        body = cell_table(findings, cell)
        if folded:
            yield f"<details><summary>{name}</summary>\n\n{body}\n\n</details>"
        else:
            yield f"### {name}\n\n{body}"


def cell_table(findings: Findings, cell: Cell) -> str:
    """Return the table of one cell in markdown, treatments in the order of the ranking."""
    baseline = md(findings.evidence.baseline)
    target = percent(findings.evidence.manifest["target"])
    headers = (
        "Treatment",
        "Accuracy, % ± 95 % half-width",
        "sd",
        "Runs ok",
        "Diverged, k/n",
        f"Difference to {baseline}, points",
        "95 % interval",
        "p",
        "p, sign flip",
        f"Seeds for {target}",
    )
    arms, comparisons = findings.arms(), findings.comparisons()
    rows = [
        cell_row(name, arms.get((cell, name)), comparisons.get((cell, name)))
        for name in ranked_order(findings)
        if (cell, name) in arms
    ]
    if not rows:
        return "No trial of this cell has finished yet."
    return table(headers, rows, "lrrrrrrrrr")


def cell_row(name: str, arm: Arm | None, comparison: Comparison | None) -> tuple[str, ...]:
    """Return a row of a cell's table as text; the baseline has no comparison."""
    if arm is None:
        return (md(name), *(NOTHING,) * 9)
    return (
        md(name),
        accuracy(arm),
        percent(arm.sd),
        str(arm.n_ok),
        share(arm.n_diverged, arm.n_ok + arm.n_diverged),
        *(difference(comparison) if comparison else (NOTHING,) * 5),
    )


def accuracy(arm: Arm) -> str:
    """Return mean ± half-width in percent; the mean alone where there is no interval."""
    if arm.half_width is None:
        return percent(arm.mean)
    return f"{percent(arm.mean)} ± {percent(arm.half_width)}"


def difference(comparison: Comparison) -> tuple[str, str, str, str, str]:
    """Return difference with its mark, interval, p, sign-flip p and seeds needed, as text."""
    if comparison.mean_difference is None:
        return (counted(comparison.n_pairs, "pair"), *(NOTHING,) * 4)
    mark = " *" if is_marked(comparison) else ""
    points = signed(in_points(comparison.mean_difference)) + mark
    if comparison.state == "identical":
        return points, NOTHING, "1", NOTHING, NOTHING
    needed = comparison.seeds_needed
    return (
        points,
        interval(in_points(comparison.ci_low), in_points(comparison.ci_high)),
        p_value(comparison.p),
        p_value(comparison.p_sign_flip),
        "> 1000" if needed is None else str(needed),
    )


def in_points(share: float | None) -> float | None:
    """Return a difference of shares in percentage points."""
    return None if share is None else 100 * share


def is_marked(comparison: Comparison) -> bool:
    """Whether a difference stands out among its treatment's cells (Benjamini-Hochberg, 5 %)."""
    return comparison.p_bh is not None and comparison.p_bh < MARK_LEVEL


def spread_table(findings: Findings) -> str:
    """Return whose runs spread more or less than the baseline's; empty where nothing is tested."""
    tested: dict[str, list[Comparison]] = {}
    for row in findings.analysis.comparisons if findings.analysis else ():
        if row.spread_p is not None:
            tested.setdefault(row.treatment, []).append(row)
    rows = []
    for name in ranked_order(findings):
        found = tested.get(name, [])
        if not found:
            continue
        low = [row for row in found if row.spread_p is not None and row.spread_p < MARK_LEVEL]
        wider = sum((row.spread_t or 0) > 0 for row in low)
        tests = len(found)
        rows.append(
            (md(name), _mean_ratio(found), share(wider, tests), share(len(low) - wider, tests))
        )
    headers = (
        "Treatment",
        "sd against the baseline's, ratio (geometric mean over cells)",
        "Wider at p < .05, cells",
        "Narrower at p < .05, cells",
    )
    return table(headers, rows, "lrrr") if rows else ""


def _mean_ratio(found: list[Comparison]) -> str:
    """The geometric mean over cells, 0 if one is; a baseline that never varies has no ratio."""
    ratios = [row.spread_sd_ratio for row in found if row.spread_sd_ratio is not None]
    if not ratios:
        return NOTHING
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if min(ratios) > 0 else 0.0
    rest = f" ({share(len(ratios), len(found))} cells)" if len(ratios) < len(found) else ""
    return number(mean) + rest


def ranked_order(findings: Findings) -> list[str]:
    """Return the treatments: the baseline, the ranked by rank, the rest by name."""
    analysis = findings.analysis
    if analysis is None:
        return findings.evidence.treatments
    ranked = [analysis.baseline, *(row.treatment for row in analysis.ranking)]
    return ranked + [name for name in findings.evidence.treatments if name not in set(ranked)]
