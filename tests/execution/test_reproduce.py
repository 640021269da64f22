"""A trial from its record: the same trial, the same numbers, and every difference noticed."""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import plugins
from benchmark.errors import UsageError
from benchmark.execution.inline import InlineExecutor
from benchmark.execution.jobs import Finished, Job, Settings
from benchmark.execution.reproduce import (
    compare,
    find_record,
    rebuild,
    rebuild_cohort,
    run_again,
    threads_of,
)
from benchmark.grid import Cohort
from benchmark.recipe import Recipe
from benchmark.treatment import Treatment, parse_treatment
from benchmark.trial import Cell, Record, Trial, content_id
from tests.conftest import make_cell, make_cohort
from tests.results.believable import record

SOURCE = """\
from benchmark import initializer

@initializer("half", summary="every weight is a half")
def half(weight, layer, generator):
    weight.fill_({value})
"""


@pytest.fixture
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put registries, installed plugins and modules back behind the test."""
    for registry in (plugins.initializers, plugins.rewirings, plugins.datasets):
        registry.all()
        monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(plugins, "_loaded", dict(plugins._loaded))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if "plugin" in name:
            del sys.modules[name]


def as_read(values: dict[str, Any]) -> Record:
    return Record.from_dict(json.loads(json.dumps(values)))


def read_back(made: Record) -> Record:
    return Record.from_dict(json.loads(made.to_json()))


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"epochs": 3, "learning_rate": 0.1, "augmentation": ["shift_crop", "flip"]},
        {"optimizer": "adamw", "optimizer_args": {"betas": [0.9, 0.99]}, "clip_gradient": 1.0},
        {"schedule_args": {"min_lr": 1e-5}, "warmup_epochs": 2, "data_seed": "per_seed"},
        {"image_size": 16, "dtype": "bfloat16", "validation_fraction": 0.25},
    ],
)
@pytest.mark.parametrize("treatment", ["timm", "orthogonal(gain=2.0)+pa", "kaiming_normal+shuffle"])
def test_a_record_makes_its_trial_again(recipe: dict[str, Any], treatment: str) -> None:
    cell = Cell("digits", "test_vit(patch_size=4)", "brief", Recipe.model_validate(recipe))
    trial = Trial(cell, parse_treatment(treatment), 2**40)
    made = read_back(Record.of(trial, "ok"))
    again = rebuild(made)
    assert again == trial
    assert again.id == made.trial


def without_treatment(values: dict[str, Any]) -> None:
    del values["content"]["treatment"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(content={}), "comes from a table"),
        (lambda values: values["content"].update(protocol=99), "protocol 99"),
        (lambda values: values["content"].update(seed=5), "it was changed"),
        (lambda values: values.update(trial="f" * 16), "it was changed"),
        (lambda values: values["content"]["recipe"].update(epochs=0), "epochs"),
        (lambda values: values["content"]["recipe"].update(luck=1), "luck"),
        (without_treatment, "'treatment'"),
        (
            lambda values: values["content"]["treatment"].update(initializer="orthogonl"),
            "'orthogonal'",
        ),
        (
            lambda values: values["content"]["treatment"].update(plugins={"mine": "0" * 16}),
            "--plugin FILE",
        ),
        (
            lambda values: values["content"]["treatment"].update(plugins={"pa": "0" * 16}),
            "of a built-in method",
        ),
    ],
)
def test_what_would_train_something_else_is_refused(change: Any, words: str) -> None:
    values = record("orthogonal+pa", 0)
    change(values)
    with pytest.raises(UsageError, match=words):
        rebuild(as_read(values))


def test_the_protocol_s_refusal_names_the_version_to_install() -> None:
    values = record("timm", 0)
    values["content"]["protocol"] = 0
    values["trial"] = content_id(values["content"])
    values["provenance"]["versions"] = {"initbench": "9.8.7"}
    with pytest.raises(UsageError, match=r"9\.8\.7"):
        rebuild(as_read(values))


@pytest.mark.usefixtures("own_plugins")
def test_a_plugin_s_trial_takes_the_plugin_with_the_same_source(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text(SOURCE.format(value=0.5))
    plugins.load_plugins([str(path)])
    trial = Trial(make_cell(), Treatment("half", "pa"), 3)
    made = read_back(Record.of(trial, "ok"))
    assert rebuild(made) == trial
    path.write_text(SOURCE.format(value=0.25))
    plugins.load_plugins([str(path)])
    hashes = [plugins.initializers.get("half").plugin_hash, made.content["treatment"]["plugins"]]
    with pytest.raises(UsageError, match="load the file as it was") as caught:
        rebuild(made)
    assert str(hashes[0]) in str(caught.value)
    assert hashes[1]["half"] in str(caught.value)


def test_the_beginning_of_an_id_is_enough_if_it_is_one_trial_s() -> None:
    records = {name: as_read(record("timm", 0)) for name in ("ab12", "ab34", "cd56")}
    assert find_record(records, "c") is records["cd56"]
    assert find_record(records, "ab3") is records["ab34"]
    with pytest.raises(UsageError, match="2 trials begin with 'ab'"):
        find_record(records, "ab")
    with pytest.raises(UsageError, match="none of the 3 records"):
        find_record(records, "ef")


def test_equal_records_are_exact_whatever_their_times() -> None:
    then = as_read(record("timm", 0))
    now = copy.deepcopy(then)
    now.seconds["training"] = 99.0
    now.curves["seconds"] = [9.0, 9.0, 9.0]
    found = compare(then, now)
    assert found.exact
    assert found.same_result
    assert found.environment == ()
    names = {each.name for each in found.quantities}
    assert {"accuracy", "test loss", "strength variance before", "curve of train loss"} <= names
    assert not any("seconds" in name for name in names)


@pytest.mark.parametrize(
    ("change", "name", "differing", "largest", "same_result"),
    [
        ({"accuracy": 301 / 359}, "accuracy", 1, 1 / 359, False),
        ({"test_loss": 0.5000000001}, "test loss", 1, 1e-10, True),
        ({"epoch1_accuracy": None}, "epoch1 accuracy", 1, None, True),
        ({"strength": {"before": 1.2, "after": 0.4}}, "strength variance after", 1, 0.3, True),
        ({"curves": {"train_loss": [2.0, 1.5, 0.7]}}, "curve of train loss", 2, 0.5, True),
        ({"curves": {"train_loss": [2.0, 1.0]}}, "curve of train loss", 1, None, True),
        ({"curves": {"train_loss": [2.0, "x", 0.6]}}, "curve of train loss", 1, None, True),
        ({"curves": {}}, "curve of train loss", 3, None, True),
    ],
)
def test_every_difference_is_found_and_measured(
    change: dict[str, Any], name: str, differing: int, largest: float | None, same_result: bool
) -> None:
    then = as_read(record("timm", 0))
    changed = dataclasses.replace(then, **change)
    for one, other in ((then, changed), (changed, then)):
        found = compare(one, other)
        quantity = next(each for each in found.quantities if each.name == name)
        assert quantity.differing == differing
        assert quantity.largest == (None if largest is None else pytest.approx(largest))
        assert (found.same_result, found.exact) == (same_result, False)


def test_another_end_is_no_reproduction() -> None:
    then = as_read(record("timm", 0))
    now = dataclasses.replace(then, status="diverged", accuracy=None)
    assert not compare(then, now).same_result
    assert compare(now, now).exact


def test_what_differs_in_the_environment_is_listed() -> None:
    then, now = (as_read(record("timm", 0)) for _ in range(2))
    then.provenance.update(
        versions={"torch": "2.11.0", "timm": "1.0.20"}, threads=1, cohort={"size": 4, "place": 2}
    )
    now.provenance.update(
        versions={"torch": "2.15.0", "timm": "1.0.20", "ray": None},
        threads=1,
        device="Another CPU",
        cohort={"size": 1, "place": 0},
        attempt=3,
    )
    changes = {each.name: (each.then, each.now) for each in compare(then, now).environment}
    assert changes == {
        "torch": ("2.11.0", "2.15.0"),
        "device": ("Example CPU 3000", "Another CPU"),
        "trials trained together": ("4", "1"),
    }


@pytest.mark.parametrize(
    ("provenance", "threads"),
    [
        ({"device_type": "cpu", "threads": 3}, 3),
        ({"device_type": "cuda", "threads": 16}, 1),
        ({"device_type": "cpu", "threads": "many"}, 1),
        ({"device_type": "cpu", "threads": 10**9}, 1024),
        ({}, 1),
    ],
)
def test_it_runs_with_as_many_threads_as_the_record(
    provenance: dict[str, Any], threads: int
) -> None:
    assert threads_of(as_read({**record("timm", 0), "provenance": provenance})) == threads


def train(cohort: Cohort) -> list[Record]:
    events = InlineExecutor(Settings(device="cpu")).run([Job(cohort)], attempts=1, begun={})
    return [each for event in events if isinstance(event, Finished) for each in event.records]


def test_a_trial_comes_out_bit_for_bit_in_its_cohort_and_nearly_alone() -> None:
    pairs = ("timm", 0), ("orthogonal+pa", 1), ("kaiming_normal", 2)
    records = {each.trial: read_back(each) for each in train(make_cohort(*pairs))}
    then = list(records.values())[1]
    trial = rebuild(then)
    cohort, why = rebuild_cohort(trial, then, records)
    assert why == ""
    assert [each.id for each in cohort.trials] == list(records)
    found = compare(then, run_again(cohort, trial, device="cpu", threads=1, data_dir=None))
    assert found.then.status == "ok"
    assert found.exact, [each for each in found.quantities if each.differing]
    assert found.environment == ()
    lonely, why = rebuild_cohort(trial, then, {then.trial: then})
    assert lonely.trials == (trial,)
    assert why == f"the record of the trial {next(iter(records))} is not here"
    found = compare(then, run_again(lonely, trial, device="cpu", threads=1, data_dir=None))
    assert [each.name for each in found.environment] == ["trials trained together"]
    assert found.now.test_loss == pytest.approx(then.test_loss, rel=1e-3)


def test_what_cannot_be_had_here_is_refused_before_training() -> None:
    cell = Cell("cifar10", "plain_cnn", "short", Recipe(epochs=1))
    trial = Trial(cell, parse_treatment("timm"), 0)
    with pytest.raises(UsageError, match="cifar10"):
        run_again(Cohort((trial,)), trial, device="cpu", threads=1, data_dir="/nowhere")
