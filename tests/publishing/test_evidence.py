"""Sources are merged into one canonical form, and what does not go together is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.errors import StoreError, UsageError
from benchmark.publishing import Board, check_all, publish
from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import find
from benchmark.publishing.manifests import contrast_sizes, founders, merge_manifests
from benchmark.results.frame import load_manifest
from benchmark.statistics.contrasts import REWIRING_POOLED
from benchmark.trial import PROTOCOL
from tests.publishing.synthetic import CELLS, write_results

SMALL: dict[str, Any] = {"cells": CELLS[:2], "seeds": range(3)}


def edit_manifest(folder: Path, **values: object) -> None:
    path = folder / "grid.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_two_grids_make_one_board_whatever_their_order(tmp_path: Path) -> None:
    one = write_results(tmp_path / "one", ["timm", "orthogonal"], **SMALL)
    two = write_results(tmp_path / "two", ["timm", "orthogonal+pa"], random_seed=0, **SMALL)
    edit_manifest(two, config={"name": "two"}, name="two")
    lines = {json.loads(line)["trial"]: line for line in (one / "records.jsonl").open()}
    own = [
        line for line in (two / "records.jsonl").open() if json.loads(line)["trial"] not in lines
    ]
    (two / "records.jsonl").write_text("".join(own))
    forth, back = gather([str(one), str(two)]), gather([str(two), str(one)])
    assert forth.treatments == ["timm", "orthogonal", "orthogonal+pa"]
    assert forth.frame["trial"].tolist() == back.frame["trial"].tolist()
    assert forth.manifest["trials"] == back.manifest["trials"]
    assert forth.missing == 0
    publish([str(one), str(two)], str(tmp_path / "board"), name="both", family=20)
    assert (tmp_path / "board" / "config-2.yaml").is_file()
    assert check_all(str(tmp_path / "board")) == {str(tmp_path / "board"): []}
    assert gather([str(tmp_path / "board")]).manifest["family"] == 20


def test_families_have_the_size_of_the_first_source_that_has_them(tmp_path: Path) -> None:
    one = write_results(tmp_path / "one", ["timm", "timm+pa"], **SMALL)
    rewired = [f"{name}{ending}" for name in ("timm", "orthogonal") for ending in ("", "+pa")]
    two = write_results(tmp_path / "two", rewired, **SMALL)
    edit_manifest(one, contrast_families={"pa against shuffle": 20})
    edit_manifest(two, family=9)

    def sizes(*sources: Path) -> tuple[int, dict[str, int]]:
        names = list(map(str, sources))
        manifest = merge_manifests(list(map(load_manifest, names)), names, {})
        assert merge_manifests([manifest], ["board"], {}) == manifest
        for config in manifest["configs"]:
            fixed = config["family"], config["contrast_families"]
            assert fixed == (manifest["family"], manifest["contrast_families"])
        assert contrast_sizes(manifest) == manifest["contrast_families"]
        return manifest["family"], manifest["contrast_families"]

    none, pooled = "rewiring against none", "rewiring against none, pooled"
    assert sizes(one, two) == (1, {none: 1, pooled: 1, "pa against shuffle": 20})
    assert sizes(two, one) == (9, {none: 2, pooled: 1, "pa against shuffle": 20})


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (20, "write the size of each family"),
        ({"rewirings": 3}, "'rewirings'"),
        ({"named": "<b>"}, "size of 'named' is '<b>'"),
        ({"named": 0}, "above 0"),
    ],
)
def test_sizes_of_contrast_families_that_are_none_are_refused(
    tmp_path: Path, sizes: object, says: str
) -> None:
    folder = write_results(tmp_path / "one", ["timm", "timm+pa"], **SMALL)
    edit_manifest(folder, contrast_families=sizes)
    with pytest.raises(UsageError, match=says):
        gather([str(folder)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"baseline": "orthogonal"}, "--baseline"),
        ({"protocol": PROTOCOL + 1}, "protocol"),
        ({"margin": 0.1}, "margin"),
    ],
)
def test_grids_that_disagree_are_refused(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    one = write_results(tmp_path / "one", ["timm", "orthogonal"], **SMALL)
    two = write_results(tmp_path / "two", ["timm", "orthogonal"], **SMALL)
    edit_manifest(two, **change)
    with pytest.raises(UsageError, match=says) as caught:
        gather([str(one), str(two)])
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)


def test_one_cell_under_two_recipes_is_refused(tmp_path: Path) -> None:
    one = write_results(tmp_path / "one", ["timm"], **SMALL)
    two = write_results(tmp_path / "two", ["timm"], **SMALL)
    cells = json.loads((two / "grid.json").read_text())["cells"]
    edit_manifest(two, cells=[{**cell, "recipe_content": {"epochs": 99}} for cell in cells])
    with pytest.raises(UsageError, match="another recipe"):
        gather([str(one), str(two)])


def test_two_results_of_one_trial_that_differ_are_refused(tmp_path: Path) -> None:
    one = write_results(tmp_path / "one", ["timm"], **SMALL)
    two = write_results(tmp_path / "two", ["timm"], random_seed=1, **SMALL)
    with pytest.raises(StoreError, match="different results of the trial"):
        gather([str(one), str(two)])


def test_a_result_counts_over_a_failure_in_another_source(tmp_path: Path) -> None:
    lost = write_results(tmp_path / "one", ["timm"], statuses={"timm": "lost"}, **SMALL)
    fine = write_results(tmp_path / "two", ["timm"], **SMALL)
    for sources in ([lost, fine], [fine, lost]):
        evidence = gather([str(source) for source in sources])
        assert set(evidence.frame["status"]) == {"ok"}


def test_a_record_of_another_trial_than_declared_is_refused(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "one", ["timm", "orthogonal"], **SMALL)
    lines = (folder / "records.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), "treatment": "orthogonal"})
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match="the manifest says"):
        gather([str(folder)])


@pytest.mark.parametrize(
    "change",
    [
        {"trials": [["a" * 16, 99, 0, 0]]},
        {"trials": [1, 2]},
        {"cells": [{"dataset": "x"}]},
        {"treatments": [{"treatment": "timm"}]},
        {"contrasts": [["a", "b"]]},
    ],
)
def test_a_manifest_that_does_not_hold_together_is_named(
    tmp_path: Path, change: dict[str, object]
) -> None:
    folder = write_results(tmp_path / "one", ["timm"], **SMALL)
    edit_manifest(folder, **change)
    with pytest.raises(StoreError, match="its manifest has|is not a manifest"):
        gather([str(folder)])


@pytest.mark.parametrize("change", [{"family": "<b>"}, {"margin": -1}, {"target": "x"}])
def test_settings_that_are_no_numbers_are_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    folder = write_results(tmp_path / "one", ["timm"], **SMALL)
    edit_manifest(folder, **change)
    with pytest.raises(UsageError, match="a number above 0"):
        gather([str(folder)])


def test_data_folder_and_workers_of_a_config_are_not_published(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "one", ["timm"], **SMALL)
    config = {"name": "x", "data_dir": "/home/someone/data", "execution": {"workers": 3}}
    edit_manifest(folder, config=config)
    publish([str(folder)], str(tmp_path / "board"))
    for name in ("config.yaml", "grid.json"):
        text = (tmp_path / "board" / name).read_text()
        assert "someone" not in text
        assert "workers" not in text


def test_a_board_of_a_table_says_what_its_folder_would(board: Board, tmp_path: Path) -> None:
    table = Path(board.folder) / "trials.csv"
    with pytest.raises(UsageError, match="--baseline"):
        gather([str(table)])
    found = find(gather([str(table)], baseline="timm"))
    expected = board.findings
    assert found.analysis is not None
    assert expected.analysis is not None
    assert found.analysis.ranking == expected.analysis.ranking
    assert found.analysis.comparisons == expected.analysis.comparisons
    publish([str(table)], str(tmp_path / "board"), baseline="timm")
    assert check_all(str(tmp_path / "board")) == {str(tmp_path / "board"): []}


def test_a_table_without_trials_or_parts_gets_them(tmp_path: Path) -> None:
    rows = [
        {
            "dataset": "d",
            "architecture": "a",
            "recipe": "r",
            "treatment": treatment,
            "seed": seed,
            "status": "ok",
            "accuracy": 0.9 + 0.001 * seed + 0.002 * (treatment != "timm"),
            "n_test": 1000,
        }
        for treatment in ("timm", "mine(x=1)+pa")
        for seed in range(4)
    ]
    path = tmp_path / "mine.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    evidence = gather([str(path)], baseline="timm")
    assert evidence.manifest["treatments"][1] == {
        "treatment": "mine(x=1)+pa",
        "initializer": "mine(x=1)",
        "rewiring": "pa",
    }
    assert evidence.frame["trial"].str.fullmatch("[0-9a-f]{16}").all()
    assert evidence.frame["trial"].is_unique


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset,seed\nx,1\n", "lacks"),
        ("", "table.csv"),
        (
            "dataset,architecture,recipe,treatment,seed,status,accuracy,n_test\nd,a,r,t,0,ok,93,100\n",
            "0.943",
        ),
    ],
)
def test_a_table_that_cannot_be_compared_says_why(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=says):
        gather([str(tmp_path / "table.csv")], baseline="t")


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        gather([str(tmp_path / "none.csv")], baseline="timm")
    with pytest.raises(UsageError, match="needs a source"):
        gather([])


def test_the_first_source_founds_the_board_and_no_guest_joins_its_pooled_contrasts(
    tmp_path: Path,
) -> None:
    one = write_results(tmp_path / "one", ["timm", "timm+pa"], CELLS, range(5))
    everything = ["timm", "timm+pa", "orthogonal", "orthogonal+pa"]
    two = write_results(tmp_path / "two", everything, CELLS, range(3))
    lines = {json.loads(line)["trial"]: line for line in (one / "records.jsonl").open()}
    own = [
        line for line in (two / "records.jsonl").open() if json.loads(line)["trial"] not in lines
    ]
    (two / "records.jsonl").write_text("".join(own))
    rules = {"family": 9, "contrast_families": {REWIRING_POOLED: 9}}
    edit_manifest(one, **rules)
    edit_manifest(two, **rules)
    alone = find(gather([str(one)])).contrast_family(REWIRING_POOLED)
    publish([str(one), str(two)], str(tmp_path / "board"))
    again = gather([str(tmp_path / "board"), str(two)])
    for evidence in (gather([str(one), str(two)]), again):
        assert founders(evidence.manifest) == [("timm", "none"), ("timm", "pa")]
        assert find(evidence).contrast_family(REWIRING_POOLED) == alone
    assert founders(gather([str(two), str(one)]).manifest) == sorted(
        (name, rewiring) for name in ("orthogonal", "timm") for rewiring in ("none", "pa")
    )
