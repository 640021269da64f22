"""Records come back as the table they are, and what cannot be read is named by file and line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from benchmark import load_records
from benchmark.errors import StoreError
from benchmark.publishing import publish
from benchmark.publishing.evidence import gather
from benchmark.results.frame import COLUMNS, load_manifest
from tests.publishing.synthetic import CELLS, write_results

SMALL: dict[str, Any] = {"treatments": ["timm", "timm+pa"], "cells": CELLS[:2], "seeds": range(2)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results", **SMALL)


def lines_of(folder: Path) -> list[str]:
    return (folder / "records.jsonl").read_text().splitlines()


def rewrite(folder: Path, lines: list[str], end: str = "\n") -> None:
    (folder / "records.jsonl").write_text("\n".join(lines) + end)


def changed(line: str, **values: object) -> str:
    return json.dumps({**json.loads(line), **values})


def test_every_record_is_a_row_with_its_numbers(folder: Path) -> None:
    frame = load_records(str(folder))
    assert list(frame.columns) == list(COLUMNS)
    records = {values["trial"]: values for values in map(json.loads, lines_of(folder))}
    assert len(frame) == len(records) == 8
    for row in frame.to_dict("records"):
        record = records[row["trial"]]
        assert row["accuracy"] == record["accuracy"]
        assert row["curves"] == record["curves"]
        assert row["strength_variance_before"] == record["strength"]["before"]
        assert row["strength_variance_after"] == record["strength"]["after"]
        assert row["seconds_rewiring"] == record["seconds"]["rewiring"]
        assert row["seconds"] == sum(record["seconds"].values())
        assert row["provenance"]["commit"] == "0123456789ab"


def test_rows_are_sorted_whatever_the_order_of_the_lines(folder: Path) -> None:
    before = load_records(str(folder))
    rewrite(folder, lines_of(folder)[::-1])
    after = load_records(str(folder))
    assert before["trial"].tolist() == after["trial"].tolist()
    keys = after[["dataset", "architecture", "recipe", "treatment", "seed"]]
    assert keys.equals(keys.sort_values(list(keys.columns), ignore_index=True))


def test_numbers_that_a_record_lacks_are_nan_and_seeds_stay_whole(folder: Path) -> None:
    lines = lines_of(folder)
    lines[0] = changed(
        lines[0], status="error", accuracy=None, n_test=None, strength={}, seconds={}, curves={}
    )
    rewrite(folder, lines)
    frame = load_records(str(folder)).set_index("trial")
    row = frame.loc[json.loads(lines[0])["trial"]]
    for column in ("accuracy", "n_test", "strength_variance_after", "seconds"):
        assert np.isnan(row[column])
    assert frame["seed"].dtype == np.int64


def test_a_later_record_of_a_trial_replaces_an_earlier_one(folder: Path) -> None:
    lines = lines_of(folder)
    lost = changed(lines[0], status="lost", accuracy=None)
    rewrite(folder, [lost, *lines[1:], lines[0]])
    frame = load_records(str(folder)).set_index("trial")
    assert len(frame) == 8
    assert frame.loc[json.loads(lines[0])["trial"], "status"] == "ok"


@pytest.mark.parametrize("kept", ["ok", "diverged"])
def test_no_record_without_a_result_replaces_one_with(
    folder: Path, tmp_path: Path, kept: str
) -> None:
    lines = lines_of(folder)
    result = changed(lines[0], status=kept, accuracy=0.5 if kept == "ok" else None)
    lost = changed(lines[0], status="lost", accuracy=None)
    rewrite(folder, [result, *lines[1:], lost, changed(lost, status="error")])
    trial = json.loads(lines[0])["trial"]
    other = shutil.copytree(folder, tmp_path / "other")
    rewrite(other, [lost])
    assert load_records(str(folder)).set_index("trial").loc[trial, "status"] == kept
    for sources in ([folder], [folder, other], [other, folder]):
        frame = gather([str(source) for source in sources]).frame
        assert frame.set_index("trial").loc[trial, "status"] == kept


def test_records_of_trials_that_the_manifest_does_not_declare_do_not_count(folder: Path) -> None:
    rewrite(folder, [*lines_of(folder), changed(lines_of(folder)[0], trial="f" * 16)])
    assert len(load_records(str(folder))) == 8


@pytest.mark.parametrize("tail", ['{"trial": "torn', "", "\x00\x00"])
def test_the_line_that_a_running_driver_writes_is_left_out(folder: Path, tail: str) -> None:
    lines = lines_of(folder)
    rewrite(folder, lines, end="\n" + tail)
    assert len(load_records(str(folder))) == len(lines)


@pytest.mark.parametrize(
    ("garbage", "says"),
    [
        ("garbage", "not a record"),
        ("[1, 2]", "not a JSON object"),
        ('{"schema": 99}', "install a newer initbench"),
        ('{"schema": 1, "status": "ok"}', "incomplete"),
        ("\x00" * 40, "not a record"),
    ],
)
def test_a_line_that_is_no_record_is_named(folder: Path, garbage: str, says: str) -> None:
    lines = lines_of(folder)
    rewrite(folder, [*lines[:2], garbage, *lines[2:]])
    with pytest.raises(StoreError, match=r"records\.jsonl, line 3 ") as caught:
        load_records(str(folder))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{"accuracy": "0.9"}, {"seed": "1"}, {"curves": []}, {"provenance": None}, {"n_test": True}],
)
def test_a_value_of_another_type_is_named_by_its_line(
    folder: Path, values: dict[str, object]
) -> None:
    lines = lines_of(folder)
    rewrite(folder, [lines[0], changed(lines[1], **values), *lines[2:]])
    with pytest.raises(StoreError, match=r"records\.jsonl, line 2 "):
        load_records(str(folder))


def test_half_a_surrogate_pair_in_a_message_does_no_harm(folder: Path) -> None:
    lines = lines_of(folder)
    lines[0] = changed(lines[0], message="file \udce9")
    rewrite(folder, lines)
    assert len(load_records(str(folder))) == 8


def test_a_folder_without_a_manifest_is_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no results folder"):
        load_records(str(tmp_path))


def test_a_folder_that_is_missing_or_a_file_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, wrong in (("absent", "does not exist"), ("file", "is a file")):
        with pytest.raises(StoreError, match=f"{name} {wrong}; name the folder"):
            load_manifest(str(tmp_path / name))


def test_a_folder_of_results_folders_names_those_in_it(folder: Path) -> None:
    with pytest.raises(StoreError, match=f"name one of those in it: {folder}$"):
        load_records(f"{folder.parent}/")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 2}'])
def test_a_manifest_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / "grid.json").write_text(text)
    with pytest.raises(StoreError, match=r"grid\.json is not a manifest"):
        load_manifest(str(folder))


def test_a_grid_without_a_record_is_an_empty_table(folder: Path) -> None:
    (folder / "records.jsonl").unlink()
    frame = load_records(str(folder))
    assert len(frame) == 0
    assert list(frame.columns) == list(COLUMNS)


def test_a_published_board_reads_as_its_results_folder_does(folder: Path, tmp_path: Path) -> None:
    publish([str(folder)], str(tmp_path / "board"))
    from_board, from_results = load_records(str(tmp_path / "board")), load_records(str(folder))
    assert from_board.equals(from_results)


def test_records_are_read_from_any_file_system(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("records.jsonl", "grid.json"):
        memory.pipe_file(f"/frame/{name}", (folder / name).read_bytes())
    try:
        assert load_records("memory://frame").equals(load_records(str(folder)))
    finally:
        memory.rm("/frame", recursive=True)


def test_reading_loads_neither_torch_nor_timm_nor_ray(folder: Path) -> None:
    code = (
        "import sys; from benchmark import load_records\n"
        "assert len(load_records(sys.argv[1])) == 8\n"
        "print(sorted({'torch', 'timm', 'ray'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
