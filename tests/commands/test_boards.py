"""`initbench board` and `initbench export`: where they write, what they check, wrong use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.publishing import Board
from tests.conftest import Command
from tests.publishing.synthetic import write_results


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results" / "mine", ["timm", "orthogonal"], seeds=range(3))


def test_a_board_in_the_leaderboard_comes_with_its_place_in_the_index(
    command: Command, mine: Path, tmp_path: Path
) -> None:
    code, out, _ = command("board", mine, "--out", "leaderboard/mine", "--family", 20)
    assert code == 0
    assert "leaderboard/mine/index.html" in out
    assert "Index of the boards: leaderboard/README.md" in out
    index = (tmp_path / "leaderboard" / "README.md").read_text(encoding="utf-8")
    assert "(mine/README.md)" in index
    assert "allows for 20 comparisons" in (
        tmp_path / "leaderboard" / "mine" / "README.md"
    ).read_text(encoding="utf-8")
    code, out, _ = command("board", "--check", "leaderboard", "leaderboard/mine")
    assert code == 0
    assert out.count("is what its records give") == 3
    (tmp_path / "leaderboard" / "README.md").write_text(index.replace("timm", "Timm"))
    code, out, _ = command("board", "--check", "leaderboard")
    assert code == 1
    assert "leaderboard differs in README.md" in out


def test_a_folder_of_records_without_a_board_is_not_called_edited(
    command: Command, mine: Path
) -> None:
    (mine / "README.md").unlink(missing_ok=True)
    code, out, _ = command("board", "--check", mine)
    assert code == 1
    assert "has no board yet: initbench board" in out
    assert "differs" not in out


def test_elsewhere_no_readme_is_written_beside_a_board(
    command: Command, mine: Path, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    code, _, _ = command("board", mine, "--out", "mine")
    assert code == 0
    assert (tmp_path / "README.md").read_text() == "# My project\n"


def test_a_diff_is_markdown_of_what_changed(command: Command, mine: Path) -> None:
    other = write_results(mine.parent / "other", ["timm", "orthogonal", "zeros"])
    code, out, _ = command("board", "--diff", mine, other)
    assert code == 0
    assert out.startswith("# synthetic: what changed\n")
    assert "- treatments new: zeros" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("board", "a", "b"), "name its folder with --out"),
        (("board", "a.csv"), "name the board's folder with --out"),
        (("board", "--diff", "a"), "board --diff OLD NEW"),
        (("board", "--diff", "a", "b", "--out", "c"), "--out does not go with --diff"),
        (("board", "--check", "a", "--family", "3"), "--family does not go with --check"),
        (("board", "--check", "--diff", "a", "b"), "--diff does not go with --check"),
        (("board", "--check", "a.csv"), "--check takes boards"),
        (("board", "--check", "nowhere"), "nowhere is no folder"),
        (("export", "nowhere"), "nowhere does not exist"),
    ],
)
def test_wrong_use_is_told_before_anything_is_read(
    command: Command, arguments: tuple[str, ...], words: str
) -> None:
    code, _, err = command(*arguments)
    assert code == 2
    assert words in err


def test_an_export_goes_to_standard_output_or_to_a_file(
    board: Board, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    from benchmark.commands.boards import export

    wanted = (Path(board.folder) / "trials.csv").read_bytes()
    export(board.folder, "csv", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_bytes() == wanted
    export(board.folder, "csv", None)
    assert capfdbinary.readouterr().out == wanted


def test_an_export_that_cannot_be_written_says_so(
    command: Command, board: Board, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    code, _, err = command("export", board.folder, "--out", tmp_path / "gone" / "out.csv")
    assert code == 2
    assert "cannot write" in err
