"""Citations, exports, differences between boards and the index say what the boards say."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.errors import StoreError, UsageError
from benchmark.publishing import (
    Board,
    check_all,
    cite,
    diff,
    export,
    index,
    publish,
    terminal_ranking,
    write_index,
)
from benchmark.publishing.cite import latex
from tests.publishing.synthetic import write_results


def test_a_citation_has_the_boards_numbers_and_the_hash_of_its_records(board: Board) -> None:
    found = cite(board.folder)
    assert board.findings.analysis is not None
    best = board.findings.analysis.ranking[0]
    assert best.treatment in found.sentence
    assert "180 runs" in found.bibtex
    assert f"evidence SHA-256 {found.evidence}" in found.bibtex
    assert found.evidence in (Path(board.folder) / "README.md").read_text(encoding="utf-8")
    assert found.latex.startswith("orthogonal+pa & timm & $-$13.4 & [$-$23.1, $-$2.4] &")
    assert found.latex.endswith(r" \\")
    assert "| orthogonal+pa | timm      |" in found.markdown


def test_any_two_treatments_can_be_cited(board: Board) -> None:
    found = cite(board.folder, "orthogonal", "kaiming_normal")
    assert found.latex.startswith(r"orthogonal & kaiming\_normal &")
    assert found.evidence == cite(board.folder).evidence


def test_a_record_that_changes_changes_the_hash(results: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(results, tmp_path / "copy")
    lines = (copy / "records.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "test_loss": 1.0})
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    assert cite(str(copy)).evidence != cite(str(results)).evidence


def test_citing_an_unknown_treatment_offers_the_nearest(board: Board) -> None:
    with pytest.raises(UsageError, match="orthogonal"):
        cite(board.folder, "orthogonl")


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


def test_a_board_does_not_differ_from_itself(board: Board) -> None:
    text = diff(board.folder, board.folder)
    assert "180 records: 0 new, 0 gone, 0 changed." in text
    assert "No rank, interval or verdict changed." in text
    assert "No difference in a cell changed." in text


def test_a_difference_names_ranks_verdicts_cells_and_settings(tmp_path: Path) -> None:
    old = write_results(tmp_path / "old", ["timm", "orthogonal", "zeros"], missing=15)
    new = write_results(
        tmp_path / "new", ["timm", "orthogonal", "zeros", "kaiming_normal"], random_seed=0
    )
    text = diff(str(old), str(new))
    assert "- family: 2 → 3" in text
    assert "- treatments new: kaiming_normal" in text
    assert "| zeros " in text
    assert "unranked → worse" in text
    assert "not listed → " in text
    back = diff(str(new), str(old))
    assert "worse → unranked" in back
    assert "- treatments gone: kaiming_normal" in back


def test_the_index_lists_every_board_with_its_winner_and_links_to_it(
    results: Path, tmp_path: Path
) -> None:
    publish([str(results)], str(tmp_path / "first one"))
    other = write_results(tmp_path / "other results", ["timm", "zeros"], seeds=range(3))
    publish([str(other)], str(tmp_path / "second"), name="a|b")
    shutil.rmtree(other)
    (tmp_path / "no board").mkdir()
    text = write_index(str(tmp_path))
    assert text == (tmp_path / "README.md").read_text(encoding="utf-8")
    first, second = (line for line in text.splitlines() if "](" in line)
    assert "[synthetic](first%20one/README.md)" in first
    assert "| orthogonal+pa" in first
    assert "180/180" in first
    assert r"[a\|b](second/README.md)" in second
    assert check_all(str(tmp_path)) == []
    (tmp_path / "README.md").write_text("edited")
    (tmp_path / "second" / "trials.csv").write_text("edited")
    assert check_all(str(tmp_path)) == ["second/trials.csv", "README.md"]
    assert check_all(str(tmp_path / "second")) == ["trials.csv"]


def test_an_index_of_nothing_says_so(tmp_path: Path) -> None:
    assert "There is none yet." in index(str(tmp_path))
    with pytest.raises(StoreError, match="is no folder"):
        index(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("statuses", [{}, {"orthogonal": "diverged"}])
def test_the_ranking_in_a_terminal_fits_eighty_columns(
    tmp_path: Path, statuses: dict[str, str]
) -> None:
    long = "an_initializer_with_a_name(that=0.5, goes=on)+rewiring"
    results = write_results(
        tmp_path / "results", ["timm", "orthogonal", "zeros", long], statuses=statuses
    )
    found = publish([str(results)], str(tmp_path / "board"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_ranking(found.findings), highlight=False)
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "worse" in text
    assert "[−" in text or "[+" in text
    if statuses:
        assert "unranked: orthogonal: fewer than 3 pairs" in text


def test_names_in_a_terminal_are_text_and_no_markup(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", ["timm", "[red]x[/red]", "\x1b[31my"])
    found = publish([str(results)], str(tmp_path / "board"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_ranking(found.findings), highlight=False)
    text = console.export_text()
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
