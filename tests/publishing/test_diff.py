"""Differences between boards: ranks, verdicts, cells and settings, in markdown."""

from __future__ import annotations

from pathlib import Path

from benchmark.publishing import Board, diff
from tests.publishing.synthetic import write_results


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
