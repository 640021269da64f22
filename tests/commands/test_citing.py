"""`initbench cite`: a claim has the board's numbers and the hash of its records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmark.commands.citing import citation
from benchmark.errors import UsageError
from benchmark.publishing import Board
from tests.conftest import Command
from tests.publishing.synthetic import write_results


def test_a_citation_has_the_boards_numbers_and_the_hash_of_its_records(board: Board) -> None:
    found = citation(board.folder)
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
    found = citation(board.folder, "orthogonal", "kaiming_normal")
    assert found.latex.startswith(r"orthogonal & kaiming\_normal &")
    assert found.evidence == citation(board.folder).evidence


def test_a_record_that_changes_changes_the_hash(results: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(results, tmp_path / "copy")
    lines = (copy / "records.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "test_loss": 1.0})
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n")
    assert citation(str(copy)).evidence != citation(str(results)).evidence


def test_citing_an_unknown_treatment_offers_the_nearest(board: Board) -> None:
    with pytest.raises(UsageError, match="orthogonal"):
        citation(board.folder, "orthogonl")


def test_the_command_prints_all_that_a_paper_needs(command: Command, board: Board) -> None:
    code, out, _ = command("cite", board.folder, "orthogonal", "timm+pa")
    assert code == 0
    found = citation(board.folder, "orthogonal", "timm+pa")
    for text in (found.sentence, found.markdown, found.latex, found.bibtex, found.evidence):
        assert text in out


def test_what_a_method_does_besides_filling_weights_is_part_of_the_claim(tmp_path: Path) -> None:
    results = write_results(tmp_path, ["timm", "fixup"], seeds=range(3))
    manifest = json.loads((results / "grid.json").read_text())
    manifest["treatments"][1] |= {"changes_architecture": True, "changes_learning_rate": True}
    (results / "grid.json").write_text(json.dumps(manifest))
    found = citation(str(results))
    assert found.sentence.endswith("fixup changes the architecture and changes learning rates.")
    for row in (found.markdown, found.latex):
        assert "fixup (changes the architecture) (changes learning rates)" in row


def test_nothing_is_cited_of_a_table_or_of_a_board_without_a_ranking(
    command: Command, tmp_path: Path
) -> None:
    code, _, err = command("cite", "table.csv")
    assert code == 2
    assert "name a board" in err
    results = write_results(tmp_path / "one", ["timm"], seeds=range(3))
    code, _, err = command("cite", results)
    assert code == 2
    assert "ranks nothing yet" in err
