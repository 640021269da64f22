"""The ranking as a table of 80 columns, for the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.publishing import summary
from benchmark.publishing.findings import Findings
from benchmark.publishing.marks import labelled, legend, marks_used
from benchmark.publishing.ranking_tables import (
    ranking_rows,
    rows_below_ranking,
    unranked_rows,
)
from benchmark.publishing.text import plain

if TYPE_CHECKING:
    from rich.console import Group

_NAME = 24


def terminal_ranking(findings: Findings) -> Group:
    """Return the three sentences, the ranking and the unranked, for a console of 80 columns."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from benchmark.narrow import Name

    marks = findings.marks()
    parts: list[Text | Table] = [Text(" ".join(summary.sentences(findings, plain)))]
    if findings.analysis is not None:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("", justify="right")
        table.add_column("treatment")
        table.add_column("error %", justify="right", no_wrap=True)
        table.add_column("95 % interval", justify="right", no_wrap=True)
        table.add_column("diverged", justify="right")
        table.add_column("verdict")
        for row in ranking_rows(findings):
            name = labelled(row.treatment, marks.get(row.treatment, ()), _NAME)
            texts = (
                row.change,
                row.interval,
                row.failures,
                row.verdict,
            )
            table.add_row(Text(row.rank), Name(name), *map(Text, texts))
        parts += [Text(), table]
    for row, (name, reason) in zip(
        rows_below_ranking(findings), unranked_rows(findings, plain), strict=True
    ):
        who = labelled(name, marks.get(name, ()), _NAME)
        parts.append(Text(f"unranked: {who}, diverged {row.failures}: {reason}"))
    if used := marks_used(findings.evidence.manifest):
        parts.append(Text(f"Marks: {legend(used)}."))
    return Group(*parts)
