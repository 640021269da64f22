"""Training-free measures against the result, on a board and in what training records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmark.config import load_config
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Settings
from benchmark.execution.run import train_missing
from benchmark.grid import expand
from benchmark.measures import DESCRIPTIONS
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import find
from benchmark.publishing.measure_tables import HEADERS, measures_table
from benchmark.results.frame import load_records
from benchmark.results.plausibility import problems, read_line
from benchmark.results.store import open_store
from tests.publishing.synthetic import write_results

TREATMENTS = [f"kaiming_normal(gain={gain})" for gain in (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)]


def test_a_measure_that_decides_the_result_is_found_and_noise_is_not(tmp_path: Path) -> None:
    folder = write_results(tmp_path, treatments=["timm", *TREATMENTS], seeds=range(5))
    path = folder / "records.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record["strength"]["measures"] = {
            "effective_rank": record["accuracy"],
            "kurtosis": -record["accuracy"],
            "own": 1.0,
        }
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    lines = measures_table(find(gather([str(folder)]))).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == list(HEADERS)
    cells = {row.split("|")[1].strip(): row.split("|") for row in lines[2:]}
    assert list(cells) == ["effective_rank", "kurtosis", "own"]
    assert cells["kurtosis"][2].strip().startswith("\u2212")
    assert DESCRIPTIONS["kurtosis"] in cells["kurtosis"][6]
    assert "same for all" in cells["own"][6]


def test_training_records_every_measure(write_config: Callable[..., Path], tmp_path: Path) -> None:
    # Ten logits of fewer features would depend on one another: no isometry distance.
    wide = ("widths=[4, 8]", "widths=[4, 12]")
    config = write_config(wide, ("epochs: 2", "epochs: 1"), ("seeds: 2", "seeds: 1"))
    grid = expand(load_config(config))
    with open_store(str(tmp_path / "out")) as store:
        train_missing(grid, store, lambda: InlineExecutor(Settings(device="cpu")))
        for record in store.records.values():
            assert set(record.strength["measures"]) == set(DESCRIPTIONS)
            assert problems(read_line(record.to_json().encode())) == []
    frame = load_records(str(tmp_path / "out"))
    rewired = frame["rewiring"] == "pa"
    ratios = [each["strength_ratio"] for each in frame["measures"]]
    balanced = [ratio for ratio, pa in zip(ratios, rewired, strict=True) if pa]
    others = [ratio for ratio, pa in zip(ratios, rewired, strict=True) if not pa]
    assert max(balanced) < min(others)


def test_measures_of_others_must_be_finite_numbers(tmp_path: Path) -> None:
    path = write_results(tmp_path) / "records.jsonl"
    values = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    for wrong in ({"gain": "high"}, {"gain": None}, ["gain"]):
        values["strength"]["measures"] = wrong
        (problem, *_) = problems(read_line(json.dumps(values).encode()))
        assert "measures" in problem


def test_a_board_of_records_without_measures_says_nothing_of_them(tmp_path: Path) -> None:
    path = write_results(tmp_path) / "records.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        del record["strength"]["measures"]
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    assert measures_table(find(gather([str(tmp_path)]))) == ""
