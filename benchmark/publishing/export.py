"""Every trial as a table for other programs: CSV, Parquet or LaTeX."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Literal, get_args

from benchmark.errors import UsageError, unknown_name
from benchmark.publishing.board import TRIAL_COLUMNS, trials_csv
from benchmark.publishing.evidence import Evidence, gather
from benchmark.publishing.findings import find
from benchmark.publishing.latex import latex
from benchmark.publishing.ranking_tables import ranking_rows

Format = Literal["csv", "parquet", "latex"]

_MORE = (
    *("n_validation", "area_under_validation_curve", "test_loss"),
    *("strength_variance_before", "strength_variance_after"),
    *("seconds_initialization", "seconds_rewiring", "seconds_training"),
)


def export(folder: str, format: str = "csv") -> bytes:
    """Return the trials of a results folder or a board as a file's content.

    `csv` is the board's trials.csv. `parquet` has every scalar column of `load_records` and takes
    pyarrow. `latex` is the ranking as a booktabs table. Raises UsageError for another format, or
    without pyarrow.
    """
    if format not in get_args(Format):
        raise UsageError(unknown_name("format", format, get_args(Format)))
    evidence = gather([folder])
    if format == "csv":
        return trials_csv(evidence).encode()
    return _parquet(evidence) if format == "parquet" else _latex(evidence).encode()


def _parquet(evidence: Evidence) -> bytes:
    if find_spec("pyarrow") is None:
        raise UsageError(
            "Parquet takes pyarrow, which is not installed: pip install pyarrow, or --format csv"
        )
    file = io.BytesIO()
    evidence.frame[[*TRIAL_COLUMNS, *_MORE]].to_parquet(file, index=False, engine="pyarrow")
    return file.getvalue()


def _latex(evidence: Evidence) -> str:
    findings = find(evidence)
    baseline = latex(evidence.baseline)
    headers = (
        "Rank",
        "Treatment",
        rf"Test error against {baseline}, \%",
        r"95\,\% interval",
        "$p$, family-wise",
        "Verdict",
        "Diverged, $k/n$",
        r"Cells $\times$ pairs",
    )
    rows = [
        (
            row.rank,
            f"{row.treatment} {row.marks}".strip(),
            row.change,
            row.interval,
            row.p_family,
            row.verdict,
            row.failures,
            row.runs,
        )
        for row in ranking_rows(findings)
    ]
    lines = [" & ".join(map(latex, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{tabular}{rlrrrlrr}",
            r"\toprule",
            " & ".join(headers) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
