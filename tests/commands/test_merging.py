"""`initbench merge`: what lands in the target, what is said, and what leaves it untouched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.publishing.evidence import gather
from benchmark.publishing.findings import find
from benchmark.publishing.manifests import contrast_sizes
from benchmark.results.frame import load_manifest, load_records
from benchmark.results.store import open_store
from benchmark.statistics.contrasts import BALANCE, BALANCE_POOLED, REWIRING, REWIRING_POOLED
from benchmark.trial import PROTOCOL, content_id
from tests.conftest import Command
from tests.results.believable import grid, record, write_folder


def squeezed(out: str) -> str:
    return " ".join(out.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_guests_become_one_folder_that_can_be_compared(
    command: Command, tmp_path: Path
) -> None:
    mine, yours = grid(("timm", "orthogonal")), grid(("timm", "kaiming_normal"))
    write_folder(tmp_path / "mine", mine)
    write_folder(tmp_path / "yours", yours)
    for values in yours:
        values["provenance"]["device"] = "Another CPU"
    yours[3]["accuracy"] = 290 / 359
    code, out, err = command("merge", "mine", "--into", "all")
    assert (code, err) == (0, "")
    assert "6 records added to all" in out
    code, out, _ = command("merge", "yours", "--into", "all")
    assert code == 0
    text = squeezed(out)
    assert "3 records added to all. 3 records there already." in text
    assert "New treatments: kaiming_normal." in text
    frame = load_records("all")
    assert len(frame) == 9
    assert frame["provenance"].map(lambda each: each["device"]).unique().tolist() == [
        "Example CPU 3000"
    ]
    manifest = load_manifest("all")
    assert [each["treatment"] for each in manifest["treatments"]] == [
        *("timm", "kaiming_normal", "orthogonal")
    ]
    assert (manifest["name"], manifest["family"], manifest["baseline"]) == ("all", 4, "timm")
    code, out, _ = command("compare", "kaiming_normal", "orthogonal", "--records", "all")
    assert code == 0
    before = contents(tmp_path / "all")
    code, out, _ = command("merge", "mine", "yours", "--into", "all")
    assert code == 0
    assert "0 records added to all. 12 records there already." in squeezed(out)
    assert contents(tmp_path / "all") == before


def test_every_refused_record_is_named_and_leaves_nothing_in_the_target(
    command: Command, tmp_path: Path
) -> None:
    good, bad = grid(("timm",)), grid(("orthogonal",), architecture="mlp")
    for values in bad:
        values["accuracy"] = 1.5
    bad[0]["message"] = "fine"
    write_folder(tmp_path / "guest", [*good, *bad])
    code, out, _ = command("merge", "guest", "--into", "all")
    assert code == 1
    text = squeezed(out)
    for line, values in enumerate(bad, start=len(good) + 1):
        assert f"refused: guest, line {line}, trial {values['trial']}: accuracy: 1.5" in text
    assert "3 records added to all. 3 records refused." in text
    manifest = load_manifest("all")
    assert [cell["architecture"] for cell in manifest["cells"]] == ["plain_cnn"]
    assert [each["treatment"] for each in manifest["treatments"]] == ["timm"]


def test_a_folder_of_nothing_but_refused_records_makes_no_target(
    command: Command, tmp_path: Path
) -> None:
    records = [{**values, "accuracy": 2.0} for values in grid()]
    write_folder(tmp_path / "guest", records)
    code, out, _ = command("merge", "guest", "--into", "all")
    assert code == 1
    assert "0 records added to all. 6 records refused." in squeezed(out)
    assert not (tmp_path / "all").exists()


def test_a_dry_run_says_the_same_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    records = grid()
    records[0]["accuracy"] = 2.0
    write_folder(tmp_path / "guest", records)
    code, out, _ = command("merge", "guest", "--into", "all", "--dry-run")
    assert code == 1
    assert "5 records would be added to all. 1 record refused." in squeezed(out)
    assert not (tmp_path / "all").exists()
    write_folder(tmp_path / "all", grid(("timm",)))
    before = contents(tmp_path / "all")
    code, _, _ = command("merge", "guest", "--into", "all", "--dry-run")
    assert code == 1
    assert contents(tmp_path / "all") == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"baseline": "orthogonal"}, ["baseline", "'timm'", "'orthogonal'", "--baseline"]),
        ({"margin": 0.1}, ["margin", "0.05", "0.1"]),
        ({"target": 0.01}, ["target", "0.005", "0.01"]),
        ({"protocol": 1}, ["protocol", "1", str(PROTOCOL)]),
    ],
)
@pytest.mark.parametrize("target_first", [True, False])
def test_manifests_that_disagree_stop_it_before_anything_is_written(
    command: Command, tmp_path: Path, settings: dict[str, object], words: list[str], target_first
) -> None:
    write_folder(tmp_path / "mine", grid())
    write_folder(tmp_path / "yours", grid(seeds=range(3, 5)), **settings)
    sources = ["yours"] if target_first else ["mine", "yours"]
    into = "mine" if target_first else "all"
    before = contents(tmp_path / "mine")
    code, out, err = command("merge", *sources, "--into", into)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
    assert contents(tmp_path / "mine") == before
    assert not (tmp_path / "all").exists()


def test_a_recipe_s_name_means_one_recipe(command: Command, tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", grid())
    others = grid(seeds=[9])
    for values in others:
        values["content"]["recipe"]["learning_rate"] = 0.1
        values["trial"] = content_id(values["content"])
    write_folder(tmp_path / "yours", others)
    path = tmp_path / "yours" / "grid.json"
    manifest = json.loads(path.read_text())
    manifest["cells"][0]["recipe_content"] = others[0]["content"]["recipe"]
    path.write_text(json.dumps(manifest))
    code, _, err = command("merge", "mine", "yours", "--into", "all")
    assert (code, "yours trains the cell digits / plain_cnn / short by another" in err) == (2, True)
    assert command("merge", "yours", "--into", "all")[0] == 0


def test_the_target_keeps_its_family_and_what_is_new_in_its_grid_is_said(
    command: Command, tmp_path: Path
) -> None:
    write_folder(tmp_path / "all", grid(), family=20)
    write_folder(tmp_path / "guest", grid(architecture="mlp"), family=1)
    code, out, _ = command("merge", "guest", "--into", "all")
    assert code == 0
    assert load_manifest("all")["family"] == 20
    assert "New cells: digits / mlp / short." in squeezed(out)
    write_folder(tmp_path / "other", grid(("timm", "kaiming_normal")), family=2)
    assert command("merge", "guest", "other", "--into", "new")[0] == 0
    assert load_manifest("new")["family"] == 1
    assert command("merge", "guest", "other", "--into", "newer", "--family", 3)[0] == 0
    assert load_manifest("newer")["family"] == 3


def test_a_result_replaces_a_failure_in_the_target(command: Command, tmp_path: Path) -> None:
    values = record("timm", 0)
    gone = ("accuracy", "n_test", "n_validation", "epoch1_accuracy", "test_loss")
    lost = {**values, "status": "lost", "curves": {}, **dict.fromkeys(gone)}
    lost["area_under_validation_curve"] = None
    write_folder(tmp_path / "all", [lost])
    write_folder(tmp_path / "guest", [values])
    code, out, _ = command("merge", "guest", "--into", "all")
    assert code == 0
    assert "1 record added for trials that had no result." in squeezed(out)
    assert load_records("all")["status"].tolist() == ["ok"]


def test_names_from_others_cannot_move_the_cursor(command: Command, tmp_path: Path) -> None:
    values = {**record("timm", 0), "treatment": "\x1b[2Jtimm\n"}
    write_folder(tmp_path / "guest", [values], declared=[record("timm", 0)])
    code, out, _ = command("merge", "guest", "--into", "all")
    assert code == 1
    assert "\x1b" not in out


def test_wrong_use_is_explained(command: Command, tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", grid())
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "records.jsonl.gz").write_bytes(b"")
    for arguments, words in (
        (["mine", "--into", "./mine/"], "into itself"),
        (["mine", "mine", "--into", "all"], "named twice"),
        (["table.csv", "--into", "all"], "table.csv is a table"),
        (["mine", "--into", "board"], "board is a board"),
        (["absent", "--into", "all"], "absent"),
        (["mine"], "--into"),
    ):
        code, _, err = command("merge", *arguments)
        assert (code, words in err) == (2, True), err
    assert not (tmp_path / "all").exists()
    with open_store("all"):
        code, _, err = command("merge", "mine", "--into", "all")
    assert (code, "being written" in err) == (2, True)


def test_a_guest_s_rewirings_change_no_p_of_the_target_s_contrasts(
    command: Command, tmp_path: Path
) -> None:
    host = ("timm", "timm+pa", "orthogonal", "orthogonal+pa")
    more = ("timm+shuffle", "orthogonal+shuffle", "kaiming_normal", "kaiming_normal+pa")
    write_folder(tmp_path / "all", grid(host))
    write_folder(tmp_path / "guest", grid((*host, *more)))
    before = {family.name: family for family in find(gather(["all"])).contrasts}
    assert command("merge", "guest", "--into", "all")[0] == 0
    after = {family.name: family for family in find(gather(["all"])).contrasts}
    assert (before[REWIRING].family, after[REWIRING].family) == (2, 2)
    assert len(after[REWIRING].contrasts) == 5
    assert after[REWIRING].error_percent == 12.5
    assert after[BALANCE].family == 2
    # The guest alone has shuffle: it is compared by initializer, but pooled only what was founded.
    assert BALANCE_POOLED not in after
    assert after[REWIRING_POOLED] == before[REWIRING_POOLED]
    kept = {row.treatment: row.headline for row in after[REWIRING].contrasts}
    for row in before[REWIRING].contrasts:
        assert row.headline is not None
        assert replace(kept[row.treatment], p_holm=0) == replace(row.headline, p_holm=0)
    write_folder(tmp_path / "later", grid((*host, *more, "kaiming_normal+shuffle")))
    assert command("merge", "later", "--into", "all")[0] == 0
    sizes = contrast_sizes(load_manifest("all"))
    assert sizes.pop(BALANCE_POOLED) == 1
    assert sizes == {name: family.family for name, family in after.items()}
