"""A board is a pure function of its records, readable whatever they hold, and safe to read."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import StoreError, UsageError
from benchmark.publishing import check_all, publish
from benchmark.results.frame import load_records
from tests.publishing.synthetic import CELLS, write_results


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def board_of(tmp_path: Path, **results: object) -> str:
    """Publish synthetic results and return the README."""
    source = write_results(tmp_path / "results", **results)  # type: ignore[arg-type]
    publish([str(source)], str(tmp_path / "board"))
    return (tmp_path / "board" / "README.md").read_text(encoding="utf-8")


def test_a_board_has_its_files_and_trials_csv_its_columns(tmp_path: Path) -> None:
    readme = board_of(tmp_path)
    names = set(content(tmp_path / "board"))
    assert {"README.md", "trials.csv", "records.jsonl.gz", "grid.json"} <= names
    assert {"plots/forest.svg", "plots/heatmap.svg"} <= names
    with (tmp_path / "board" / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * len(CELLS) * 5
    assert list(rows[0]) == [
        *("dataset", "architecture", "recipe", "treatment", "initializer", "rewiring", "seed"),
        *("status", "accuracy", "n_test", "epoch1_accuracy", "seconds", "trial"),
    ]
    frame = load_records(str(tmp_path / "results"))
    assert [float(row["accuracy"]) for row in rows] == frame["accuracy"].tolist()
    for name in names:
        if name.startswith("plots/"):
            assert f"({name})" in readme


def test_the_ranking_is_that_of_the_statistics(tmp_path: Path) -> None:
    from benchmark.statistics import analyse

    readme = board_of(tmp_path)
    analysis = analyse(load_records(str(tmp_path / "results")), "timm")
    best = analysis.ranking[0]
    row = next(line for line in readme.splitlines() if line.startswith("|      1 |"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2] == best.treatment
    assert cells[3].replace("−", "-").startswith(f"{best.change_percent:+.1f}"[:4])
    assert best.verdict in row


def test_bytes_depend_neither_on_hash_seed_time_zone_locale_nor_folder(tmp_path: Path) -> None:
    source = write_results(tmp_path / "results", seeds=range(3))
    publish([str(source)], str(tmp_path / "here"))
    # Where pyarrow is installed, pandas keeps strings in it; where it is not, otherwise.
    code = (
        "import sys, pandas; pandas.set_option('mode.string_storage', 'python');"
        "from benchmark.publishing import publish; publish([sys.argv[1]], 'there')"
    )
    (tmp_path / "elsewhere").mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", code, str(source)],
        cwd=tmp_path / "elsewhere",
        env=environment,
        check=True,
    )
    here, there = content(tmp_path / "here"), content(tmp_path / "elsewhere" / "there")
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []


def test_a_board_rebuilt_from_itself_is_the_same_and_a_changed_byte_shows(tmp_path: Path) -> None:
    board_of(tmp_path, seeds=range(3))
    board = tmp_path / "board"
    before = content(board)
    assert check_all(str(board)) == {str(board): []}
    publish([str(board)], str(tmp_path / "again"))
    assert content(tmp_path / "again") == before
    (board / "README.md").write_bytes(before["README.md"].replace(b"timm", b"Timm", 1))
    (board / "plots" / "old.svg").write_text("<svg/>")
    assert check_all(str(board)) == {str(board): ["README.md", "plots/old.svg"]}


def test_a_results_folder_holds_its_own_board_and_keeps_its_records(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", seeds=range(3))
    records = (folder / "records.jsonl").read_bytes()
    publish([str(folder)], str(folder))
    assert (folder / "records.jsonl").read_bytes() == records
    assert not (folder / "records.jsonl.gz").exists()
    assert check_all(str(folder)) == {str(folder): []}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({"missing": 9 * 4 * 5}, "0/180"),
        ({"treatments": ["timm"]}, "timm"),
        ({"cells": CELLS[:1], "seeds": [0]}, "ranked"),
        ({"statuses": {"orthogonal": "diverged"}}, "5/5"),
        ({"statuses": {"orthogonal": "error"}}, "orthogonal"),
    ],
)
def test_boards_with_little_or_nothing_to_say_still_read(
    tmp_path: Path, results: dict[str, object], words: str
) -> None:
    readme = board_of(tmp_path, **results)
    assert words in readme
    assert "nan" not in readme.lower().replace("nan in epoch", "")
    assert check_all(str(tmp_path / "board")) == {str(tmp_path / "board"): []}


def test_a_treatment_that_never_ran_ok_is_unranked_with_its_reason(tmp_path: Path) -> None:
    readme = board_of(tmp_path, statuses={"orthogonal": "error"})
    line = next(line for line in readme.splitlines() if line.startswith("| orthogonal "))
    assert "fewer than 3 pairs" in line or "no run" in line


def test_names_from_records_stay_text(tmp_path: Path) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    piped = "a|b`c"
    readme = board_of(tmp_path, treatments=["timm", nasty, piped], seeds=range(3))
    assert "<img" not in readme
    assert "a\\|b" in readme
    for name, data in content(tmp_path / "board").items():
        if name.endswith(".svg"):
            assert b"<img" not in data


def test_a_machine_leaves_no_trace_on_a_board(tmp_path: Path) -> None:
    readme = board_of(tmp_path, statuses={"orthogonal": "error"})
    assert "/home/someone" not in readme
    assert str(tmp_path) not in readme


def test_sources_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results folder"):
        publish([str(tmp_path)], str(tmp_path / "board"))
    write_results(tmp_path / "results", seeds=range(3))
    write_results(tmp_path / "other", seeds=range(4))
    with pytest.raises(UsageError, match="--out"):
        publish([str(tmp_path / "other")], str(tmp_path / "results"))


def test_publishing_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    source = write_results(tmp_path / "results", seeds=range(3))
    code = (
        "import sys; from benchmark.publishing import publish\n"
        "publish([sys.argv[1]], sys.argv[1])\n"
        "print(sorted({'torch', 'timm', 'ray'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
