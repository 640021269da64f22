"""Whether what can be measured before training goes with its result, measure by measure."""

from __future__ import annotations

from benchmark.measures import DESCRIPTIONS
from benchmark.publishing.findings import Findings
from benchmark.publishing.tables import table
from benchmark.publishing.text import NOTHING, interval, md, p_value, signed

HEADERS = (
    "Measure",
    "Rank correlation with accuracy [95 % interval]",
    "Over other",
    "p x measures",
    "Cells",
    "What it is",
)


def measures_table(findings: Findings) -> str:
    """Return the rank correlation of every training-free measure with the accuracy, in markdown.

    The strongest first; nothing where no record has measures.
    """
    found = findings.measures
    ordered = sorted(found, key=lambda each: (-abs(each.rho or 0.0), each.measure))
    rows = [
        (
            md(each.measure),
            NOTHING
            if each.rho is None
            else f"{signed(each.rho)} {interval(each.low, each.high) if each.over else ''}".strip(),
            each.over or NOTHING,
            p_value(None if each.p is None else min(1.0, each.p * len(found))),
            str(each.n_cells),
            DESCRIPTIONS.get(each.measure, "") if each.rho is not None else md(each.reason or ""),
        )
        for each in ordered
    ]
    return table(HEADERS, rows, "lrlrrl") if rows else ""
