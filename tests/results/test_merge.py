"""Others' records: whatever is wrong with one is found and named, and nothing else is."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.errors import StoreError
from benchmark.recipe import Recipe
from benchmark.results import frame
from benchmark.results import merge as merging
from benchmark.results.merge import read_manifest, read_offer, reconcile, without
from benchmark.results.plausibility import problems, read_line
from benchmark.treatment import parse_treatment
from benchmark.trial import Cell, Record, Trial, content_id
from tests.results.believable import RECIPE, Change, failed, grid, manifest, record, write_folder


def as_record(values: dict[str, Any]) -> Record:
    return read_line(json.dumps(values).encode())


def in_content(change: Change) -> Change:
    """Change the content and give the record the id that goes with it: a careful forgery."""

    def apply(values: dict[str, Any]) -> None:
        change(values["content"])
        values["trial"] = content_id(values["content"])

    return apply


def put(path: str, value: Any) -> Change:
    """Set what stands at a dotted path."""
    *above, last = path.split(".")

    def apply(values: dict[str, Any]) -> None:
        for step in above:
            values = values[step]
        values[last] = value

    return apply


def both(*changes: Change) -> Change:
    def apply(values: dict[str, Any]) -> None:
        for change in changes:
            change(values)

    return apply


def diverge(values: dict[str, Any], epochs: int = 2) -> None:
    """Make it the record of a run whose loss became NaN in the second epoch."""
    values |= {"status": "diverged", "accuracy": None, "test_loss": None}
    values["curves"] = {name: curve[:epochs] for name, curve in values["curves"].items()}
    validation = values["curves"]["validation_accuracy"]
    values["curves"]["train_loss"][-1:] = [None] * (epochs > 0)
    values["area_under_validation_curve"] = sum(validation) / max(len(validation), 1)


def test_the_records_of_these_tests_are_what_trials_leave() -> None:
    cell = Cell("digits", "plain_cnn", "short", Recipe.model_validate(RECIPE))
    trial = Trial(cell, parse_treatment("orthogonal+pa"), 7)
    values = record("orthogonal+pa", 7)
    assert (values["trial"], values["content"]) == (trial.id, trial.content)
    assert as_record(values).to_json() == json.dumps(values, separators=(",", ":"))


@pytest.mark.parametrize(
    "change",
    [
        lambda values: None,
        diverge,
        put("strength", {"before": None, "after": None}),
        put("test_loss", None),
        put("provenance.note", ["anything", {"goes": 1}]),
        both(
            put("status", "out_of_memory"),
            put("accuracy", None),
            put("n_test", None),
            put("n_validation", None),
            put("epoch1_accuracy", None),
            put("curves", {}),
        ),
    ],
)
def test_what_can_be_believed_is(change: Change) -> None:
    values = record("orthogonal", 0)
    change(values)
    assert problems(as_record(values)) == []


SPOILED: dict[str, tuple[Change, str]] = {
    "another id": (put("trial", "0" * 16), "its content's"),
    "an id that is none": (put("trial", "../../x"), "trial"),
    "content changed": (put("content.seed", 5), "its content's"),
    "seed as text": (put("seed", "0"), "seed"),
    "seed as truth": (put("content.seed", True), "content.seed"),
    "negative seed": (both(in_content(put("seed", -1)), put("seed", -1)), "at least 0"),
    "endless seed": (both(in_content(put("seed", 2**63)), put("seed", 2**63)), "seed"),
    "another protocol": (in_content(put("protocol", 99)), "protocol 99"),
    "more content": (in_content(put("lucky", True)), "lucky"),
    "treatment renamed": (put("treatment", "orthogonal+pa"), "treatment: 'orthogonal+pa'"),
    "initializer renamed": (put("initializer", "timm"), "initializer: 'timm'"),
    "data set renamed": (put("dataset", "cifar10"), "dataset: 'cifar10'"),
    "seed moved": (put("seed", 1), "seed: 1"),
    "control characters": (put("recipe", "short\x1b[2J"), "recipe"),
    "a path for a recipe": (put("recipe", "../short"), "recipe"),
    "percent": (put("accuracy", 83.6), "at most 1"),
    "negative accuracy": (put("accuracy", -0.1), "at least 0"),
    "accuracy as text": (put("accuracy", "0.9"), "accuracy"),
    "half an image": (put("accuracy", 300.5 / 359), "whole number of 359 images"),
    "half an image at first": (put("epoch1_accuracy", 0.505), "whole number of 100 images"),
    "more test images": (both(put("n_test", 10), put("accuracy", 0.9)), "359 test images"),
    "no test images": (put("n_test", 0), "n_test"),
    "endless test images": (put("n_test", 10**400), "n_test"),
    "ok without accuracy": (put("accuracy", None), "status ok with no accuracy"),
    "diverged with accuracy": (put("status", "diverged"), "status diverged with an accuracy"),
    "no n_validation": (put("n_validation", None), "n_validation"),
    "unknown curve type": (put("curves.train_loss", "long"), "curves.train_loss"),
    "curve too short": (put("curves.train_loss", [1.0, 0.5]), "the recipe has 3 epochs"),
    "one curve longer": (put("curves.learning_rate", [0.1] * 4), "unlike length"),
    "no curves": (put("curves", {}), "the recipe has 3 epochs"),
    "curve of percent": (put("curves.validation_accuracy", [50.0, 70.0, 81.0]), "[0, 1]"),
    "curve of half images": (
        put("curves.validation_accuracy", [0.5, 0.705, 0.805]),
        "no whole numbers of 100",
    ),
    "curve begins elsewhere": (
        put("curves.validation_accuracy", [0.4, 0.8, 0.81]),
        "its curve begins with 0.4",
    ),
    "area of another curve": (put("area_under_validation_curve", 0.9), "not its curve's mean"),
    "ok with a loss that is not finite": (put("curves.train_loss", [1.0, None, 0.5]), "not finite"),
    "ok with no loss at the end": (put("curves.validation_loss", [1.0, 0.5, None]), "not finite"),
    "seconds below 0": (put("seconds.training", -1.0), "seconds.training"),
    "seconds of an epoch below 0": (put("curves.seconds", [1.0, -1.0, 1.0]), "below 0"),
    "strength below 0": (put("strength.before", -0.1), "strength.before"),
    "strength as text": (put("strength.after", "small"), "strength.after"),
    "message as list": (put("message", ["x"]), "message"),
    "default written out": (in_content(put("recipe.batch_size", 128)), "recipe: it writes out"),
    "unknown key of the recipe": (in_content(put("recipe.luck", 1)), "luck"),
    "recipe out of range": (in_content(put("recipe.epochs", 0)), "recipe.epochs"),
    "another spelling": (
        both(
            in_content(put("treatment.initializer", "orthogonal(gain=1.0)")),
            put("initializer", "orthogonal(gain=1.0)"),
            put("treatment", "orthogonal(gain=1.0)"),
        ),
        "in one spelling 'orthogonal'",
    ),
    "another spelling of the architecture": (
        both(
            in_content(put("architecture", "plain_cnn( depth=1)")),
            put("architecture", "plain_cnn( depth=1)"),
        ),
        "in one spelling 'plain_cnn(depth=1)'",
    ),
    "unknown method": (
        both(
            in_content(put("treatment.initializer", "mine")),
            put("initializer", "mine"),
            put("treatment", "mine"),
        ),
        "is not built in, yet lacks a plugin's hash",
    ),
    "built-in method from a plugin": (
        in_content(put("treatment.plugins", {"orthogonal": "0" * 16})),
        "is built in, yet has a plugin's hash",
    ),
    "plugin of nothing": (
        in_content(put("treatment.plugins", {"other": "0" * 16})),
        "'other', which is not in the treatment",
    ),
    "a hash that is none": (in_content(put("treatment.plugins", {"orthogonal": "x"})), "plugins"),
    "diverged before the first epoch": (lambda values: diverge(values, 0), "0 values"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_wrong_is_named(name: str) -> None:
    change, words = SPOILED[name]
    values = record("orthogonal", 0)
    before = copy.deepcopy(values)
    change(values)
    assert values != before
    assert words in "; ".join(problems(as_record(values)))


def test_a_plugin_s_record_is_believed_without_the_plugin() -> None:
    values = record("mine(scale=2.0)+pa", 0, plugins={"mine": "0123456789abcdef"})
    assert problems(as_record(values)) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"not json", "Expecting value"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"accuracy": NaN}', "NaN"),
        (b'{"schema": 99}', "schema 99"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": ' + b"1" * 5000 + b"}", "digits"),
        (b"\x80abc", "utf-8"),
    ],
)
def test_a_line_that_is_no_record_is_refused_and_the_others_stay(
    tmp_path: Path, line: bytes, words: str
) -> None:
    records = grid()
    folder = write_folder(tmp_path / "guest", records)
    with (folder / "records.jsonl").open("ab") as file:
        file.write(line + b"\n")
    offer = read_offer(str(folder))
    assert set(offer.lines) == {each["trial"] for each in records}
    (refusal,) = offer.refused
    assert (refusal.line, words in refusal.why) == (len(records) + 1, True), refusal.why


def test_lines_and_folders_are_read_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = grid()
    folder = write_folder(tmp_path / "guest", records)
    size = max(map(len, (folder / "records.jsonl").read_bytes().splitlines(keepends=True)))
    data = b"x" * (3 * size) + b"\n" + (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(data)
    monkeypatch.setattr(merging, "LONGEST_LINE", size)
    offer = read_offer(str(folder))
    assert len(offer.lines) == len(records)
    assert [(each.line, "bytes" in each.why) for each in offer.refused] == [(1, True)]
    monkeypatch.setattr(merging, "LARGEST_RECORDS", len(data) - 1)
    with pytest.raises(StoreError, match="more than"):
        read_offer(str(folder))
    monkeypatch.setattr(frame, "LARGEST_MANIFEST", 100)
    with pytest.raises(StoreError, match="larger than"):
        read_offer(str(folder))


def test_boards_and_torn_files_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    records = grid()
    folder = write_folder(tmp_path / "guest", records)
    data = (folder / "records.jsonl").read_bytes()
    (folder / "records.jsonl").write_bytes(data[:-10])
    assert len(read_offer(str(folder)).lines) == len(records) - 1
    (folder / "records.jsonl").unlink()
    packed = gzip.compress(data)
    (folder / "records.jsonl.gz").write_bytes(packed)
    assert len(read_offer(str(folder)).lines) == len(records)
    (folder / "records.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(StoreError, match="records.jsonl.gz"):
        read_offer(str(folder))


def test_the_last_record_of_a_trial_counts(tmp_path: Path) -> None:
    values = record("timm", 0)
    wrong = {**values, "accuracy": 2.0}
    for lines, accepted in (([wrong, values], 1), ([values, wrong], 0)):
        offer = read_offer(str(write_folder(tmp_path / "guest", lines)))
        assert (len(offer.lines), len(offer.refused)) == (accepted, 1 - accepted)


def test_a_result_of_a_folder_counts_over_a_later_record_without(tmp_path: Path) -> None:
    values = record("timm", 0)
    for place, lines in enumerate(
        ([values, failed(values, "lost")], [failed(values, "lost"), values])
    ):
        ((number, _),) = read_offer(str(write_folder(tmp_path / "guest", lines))).lines.values()
        assert number == place + 1


def test_trials_that_the_manifest_does_not_declare_are_left_out_and_forged_ones_refused(
    tmp_path: Path,
) -> None:
    inside, outside = record("timm", 0), record("timm", 1)
    forged = {**record("timm", 2), "trial": "f" * 16}
    folder = write_folder(tmp_path / "guest", [inside, outside, forged], declared=[inside])
    offer = read_offer(str(folder))
    assert (list(offer.lines), offer.undeclared) == ([inside["trial"]], 1)
    assert [each.trial for each in offer.refused] == ["f" * 16]


@pytest.mark.parametrize("name", ["seed", "cell", "treatment", "recipe"])
def test_a_manifest_that_says_something_else_of_a_trial_is_noticed(
    tmp_path: Path, name: str
) -> None:
    records = grid() + grid(architecture="mlp")
    folder = write_folder(tmp_path / "guest", records)
    described = json.loads((folder / "grid.json").read_text())
    trial = described["trials"][0]
    if name == "recipe":
        described["cells"][trial[1]]["recipe_content"] = {"epochs": 5}
    else:
        at = {"cell": 1, "treatment": 2, "seed": 3}[name]
        trial[at] = 1 - trial[at]
    (folder / "grid.json").write_text(json.dumps(described))
    refused = {each.trial: each.why for each in read_offer(str(folder)).refused}
    assert ("recipe" if name == "recipe" else "declared as") in refused[trial[0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("baseline", 3), "baseline"),
        (put("family", 0), "family"),
        (put("margin", 2.0), "margin"),
        (put("cells", [{}]), "cells"),
        (put("treatments", [{"treatment": "x\n"}]), "treatments"),
        (put("trials", [["a", 0, 0]]), "is no trial"),
        (put("trials", [[]]), "is no trial"),
        (put("trials", [["a", 99, 0, 0]]), "is no trial"),
        (put("trials", [["a", 0, -1, 0]]), "is no trial"),
        (put("trials", [["a", 0, 0, True]]), "is no trial"),
        (put("trials", [[["a"], 0, 0, 0]]), "is no trial"),
        (put("protocol", None), "protocol"),
        (lambda values: values.pop("contrasts"), "contrasts"),
    ],
)
def test_a_manifest_that_cannot_be_relied_on_is_refused(
    tmp_path: Path, change: Change, words: str
) -> None:
    folder = write_folder(tmp_path / "guest", grid())
    described = json.loads((folder / "grid.json").read_text())
    change(described)
    (folder / "grid.json").write_text(json.dumps(described))
    with pytest.raises(StoreError, match=words):
        read_manifest(str(folder))


def test_a_manifest_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "guest", grid())
    (folder / "grid.json").write_text("[" * 200_000)
    with pytest.raises(StoreError, match="grid.json"):
        read_manifest(str(folder))


def offers(tmp_path: Path, *parts: list[dict[str, Any]]) -> list[merging.Offer]:
    return [
        read_offer(str(write_folder(tmp_path / f"guest{i}", part))) for i, part in enumerate(parts)
    ]


def test_exact_duplicates_and_further_runs_with_the_same_result_are_counted(
    tmp_path: Path,
) -> None:
    records = grid()
    again = copy.deepcopy(records)
    again[0]["seconds"]["training"] = 9.0
    again[1] = failed(records[1], "timeout")
    found = reconcile(offers(tmp_path, records, again), {})
    assert [each.trial for each in found.accepted] == [each["trial"] for each in records]
    assert (found.duplicates, found.again, found.refused) == (len(records) - 2, 2, [])


def test_other_results_of_a_trial_are_refused_with_both(tmp_path: Path) -> None:
    mine, other = record("timm", 0, correct=300), record("timm", 0, correct=301)
    diverged = copy.deepcopy(mine)
    diverge(diverged)
    found = reconcile(offers(tmp_path, [mine], [other], [diverged]), {})
    assert len(found.accepted) == 1
    reasons = [each.why for each in found.refused]
    assert str(300 / 359) in reasons[0]
    assert str(301 / 359) in reasons[0]
    assert "guest0" in reasons[0]
    assert reasons[1].startswith("status: diverged here, ok in")
    present = {mine["trial"]: as_record(mine)}
    found = reconcile(offers(tmp_path, [other]), present)
    assert (found.accepted, len(found.refused)) == ([], 1)
    assert "in the target" in found.refused[0].why


def test_a_result_replaces_a_failure_but_not_the_other_way_round(tmp_path: Path) -> None:
    values = record("timm", 0)
    lost = failed(values, "lost")
    found = reconcile(offers(tmp_path, [values]), {values["trial"]: as_record(lost)})
    assert ([each.status for each in found.accepted], found.replacing) == (["ok"], 1)
    found = reconcile(offers(tmp_path, [lost]), {values["trial"]: as_record(values)})
    assert (found.accepted, found.again, found.refused) == ([], 1, [])


def test_one_name_means_one_plugin_source_and_one_recipe_name(tmp_path: Path) -> None:
    first = record("mine", 0, plugins={"mine": "0" * 16})
    second = record("mine", 1, plugins={"mine": "1" * 16})
    found = reconcile(offers(tmp_path, [first], [second]), {})
    assert len(found.accepted) == 1
    assert "plugin source of mine" in found.refused[0].why
    renamed = {**first, "recipe": "brief"}
    found = reconcile(offers(tmp_path, [renamed]), {first["trial"]: as_record(first)})
    assert found.refused[0].why.startswith("recipe: brief here, short in the target")


@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
def test_neither_order_nor_distribution_over_folders_changes_what_is_accepted(
    order: list[int], cut: int
) -> None:
    records = grid()
    described = manifest(records)
    shuffled = [json.dumps(records[i]).encode() for i in order]
    parts = [
        merging.Offer(
            name,
            described,
            {json.loads(line)["trial"]: (1, line) for line in lines},
        )
        for name, lines in (("a", shuffled[:cut]), ("b", shuffled[cut:]), ("c", shuffled))
    ]
    found = reconcile(parts, {})
    assert {each.trial for each in found.accepted} == {each["trial"] for each in records}
    assert (found.duplicates, found.refused) == (len(records), [])


def test_what_is_refused_leaves_no_cell_or_treatment_behind() -> None:
    keep, drop = grid(("timm",)), grid(("orthogonal",), architecture="mlp")
    left = without(manifest([*keep, *drop]), {each["trial"] for each in drop})
    assert [cell["architecture"] for cell in left["cells"]] == ["plain_cnn"]
    assert [each["treatment"] for each in left["treatments"]] == ["timm"]
    assert left["trials"] == [[each["trial"], 0, 0, each["seed"]] for each in keep]
    both_kept = without(manifest([*keep, *drop]), set())
    assert both_kept == manifest([*keep, *drop])
