"""The index of a folder of boards, and the check of all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.errors import StoreError, UsageError
from benchmark.publishing import check_all, keeps_index, publish, write_index
from tests.publishing.synthetic import write_results


@pytest.fixture
def boards(tmp_path: Path, results: Path) -> Path:
    """A folder `leaderboard` with two boards, an empty folder and an index."""
    folder = tmp_path / "leaderboard"
    publish([str(results)], str(folder / "first one"))
    other = write_results(tmp_path / "other", ["timm", "zeros"], seeds=range(3))
    publish([str(other)], str(folder / "second"), name="a|b")
    (folder / "no board").mkdir()
    write_index(str(folder))
    return folder


def test_the_index_lists_every_board_with_its_winner_and_links_to_it(boards: Path) -> None:
    text = (boards / "README.md").read_text(encoding="utf-8")
    first, second = (line for line in text.splitlines() if "](" in line)
    assert "[synthetic](first%20one/README.md)" in first
    assert "| orthogonal+pa" in first
    assert "9 treatments, 2 data sets, 3 architectures, 5 seeds" in first
    assert "180/180" in first
    assert "| 2026-11-23 |" in first
    assert "| 2026-11-22 |" in second
    assert r"[a\|b](second/README.md)" in second
    assert "| none below timm; closest: zeros" in second


def test_the_check_of_a_folder_finds_what_was_edited_in_which_board(boards: Path) -> None:
    places = [str(boards / "first one"), str(boards / "second"), str(boards)]
    assert check_all(str(boards)) == {place: [] for place in places}
    (boards / "README.md").write_text("edited")
    (boards / "second" / "trials.csv").write_text("edited")
    assert check_all(f"{boards}/")[places[1]] == ["trials.csv"]
    assert check_all(places[1]) == {places[1]: ["trials.csv"]}


def test_an_index_that_is_gone_or_old_differs(boards: Path) -> None:
    shutil.rmtree(boards / "second")
    assert check_all(str(boards))[str(boards)] == ["README.md"]
    (boards / "README.md").unlink()
    assert check_all(str(boards))[str(boards)] == ["README.md"]


def test_only_a_folder_called_leaderboard_or_with_an_index_keeps_one(
    boards: Path, tmp_path: Path
) -> None:
    assert keeps_index(str(boards))
    other = tmp_path / "other"
    assert not keeps_index(str(other))
    shutil.copy(boards / "README.md", other)
    assert keeps_index(str(other))
    (boards / "README.md").write_text("# My own words\n")
    assert not keeps_index(str(boards))


def test_where_there_is_no_board_the_check_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no board and has none in it"):
        check_all(str(tmp_path))
    with pytest.raises(StoreError, match="is no folder"):
        check_all(str(tmp_path / "nowhere"))
