"""Exports hold what the board holds."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.publishing import Board, export
from benchmark.publishing.latex import latex


def test_latex_has_no_live_character_left() -> None:
    assert latex("a_b & 50% of $x^2$ \\input{x}") == (
        r"a\_b \& 50\% of \$x\textasciicircum{}2\$ \textbackslash{}input\{x\}"
    )


def test_exports_hold_every_trial_and_the_ranking(board: Board) -> None:
    text = export(board.folder, "csv").decode()
    assert text == (Path(board.folder) / "trials.csv").read_text(encoding="utf-8")
    assert len(list(csv.DictReader(io.StringIO(text)))) == 180
    rows = [line for line in export(board.folder, "latex").decode().splitlines() if "&" in line]
    assert len(rows) == 1 + 9
    assert all(row.count("&") == 7 + row.count(r"\&") for row in rows)


def test_formats_that_are_not_there_say_what_is(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="csv"):
        export(board.folder, "cvs")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        export(board.folder, "parquet")


def test_parquet_holds_the_numbers_of_the_records(board: Board) -> None:
    pytest.importorskip("pyarrow")
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(export(board.folder, "parquet")))
    evidence = board.findings.evidence.frame
    assert frame["accuracy"].tolist() == evidence["accuracy"].tolist()
