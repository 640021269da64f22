"""Trial ids hash what decides an outcome and nothing else; records survive being written."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.recipe import Recipe
from benchmark.treatment import Treatment
from benchmark.trial import PROTOCOL, STATUSES, Cell, Record, Trial, content_id

CELL = Cell("digits", "test_resnet", "default", Recipe(epochs=3, batch_size=64))
TRIAL = Trial(CELL, Treatment("orthogonal", "pa"), 0)


def test_an_id_stays_what_it_was() -> None:
    """Finished trials are found by id: while the protocol stays, so must the id."""
    content = {
        "protocol": 4,
        "dataset": "digits",
        "architecture": "test_resnet",
        "recipe": {"epochs": 3, "batch_size": 64},
        "treatment": {"initializer": "orthogonal", "rewiring": "pa", "plugins": {}},
        "seed": 0,
    }
    assert PROTOCOL == 4
    assert TRIAL.content == content
    assert TRIAL.id == "ad41c34ccfb8cb3c"


@pytest.mark.parametrize(
    "other",
    [
        replace(TRIAL, seed=1),
        replace(TRIAL, treatment=Treatment("orthogonal")),
        replace(TRIAL, treatment=Treatment("timm", "pa")),
        replace(TRIAL, cell=replace(CELL, dataset="cifar10")),
        replace(TRIAL, cell=replace(CELL, architecture="test_resnet(stem_width=8)")),
        replace(TRIAL, cell=replace(CELL, recipe=Recipe(epochs=4, batch_size=64))),
    ],
)
def test_whatever_decides_the_outcome_changes_the_id(other: Trial) -> None:
    assert other.id != TRIAL.id


def test_the_name_of_the_recipe_and_spelled_out_defaults_leave_the_id() -> None:
    spelled_out = Recipe.model_validate(CELL.recipe.model_dump())
    assert replace(TRIAL, cell=Cell("digits", "test_resnet", "long", spelled_out)).id == TRIAL.id


def test_the_data_seed_is_zero_unless_the_recipe_varies_it() -> None:
    per_seed = replace(CELL, recipe=Recipe(data_seed="per_seed"))
    assert Trial(CELL, TRIAL.treatment, 7).data_seed == 0
    assert Trial(per_seed, TRIAL.treatment, 7).data_seed == 7


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_a_content_id_does_not_depend_on_the_order_of_keys(content: dict[str, Any]) -> None:
    shuffled = dict(reversed(content.items()))
    assert content_id(shuffled) == content_id(content)
    assert len(content_id(content)) == 16
    assert content_id({**content, "one more key": 1}) != content_id(content)


def test_a_content_without_a_meaning_has_no_id() -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_id({"learning_rate": math.nan})


@pytest.mark.parametrize("status", STATUSES)
def test_a_record_is_read_back_as_it_was_written(status: Any) -> None:
    record = Record.of(
        TRIAL,
        status,
        accuracy=0.5,
        curves={"train_loss": [2.25, None]},
        strength={"before": 1.0, "layers": [{"name": "stem"}]},
        message="a | b\nc",
    )
    line = record.to_json()
    assert "\n" not in line
    assert Record.from_dict(json.loads(line)) == record
    assert (record.trial, record.treatment, record.rewiring) == (TRIAL.id, "orthogonal+pa", "pa")


def test_a_number_that_json_lacks_becomes_null() -> None:
    record = Record.of(
        TRIAL, "diverged", test_loss=math.inf, curves={"train_loss": [1.0, math.nan]}
    )
    values = json.loads(record.to_json())
    assert values["test_loss"] is None
    assert values["curves"]["train_loss"] == [1.0, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "install a newer initbench"),
        ({"schema": 0}, "schema 0"),
        ({"schema": None}, "schema None"),
        ({"colour": "red"}, "unknown fields colour"),
        ({"status": "fine"}, "unknown status 'fine'"),
    ],
)
def test_a_record_of_another_form_is_refused(change: dict[str, Any], message: str) -> None:
    values = json.loads(Record.of(TRIAL, "ok", accuracy=1.0).to_json()) | change
    with pytest.raises(ValueError, match=message):
        Record.from_dict(values)


def test_an_incomplete_record_is_refused() -> None:
    values = json.loads(Record.of(TRIAL, "ok", accuracy=1.0).to_json())
    del values["dataset"]
    with pytest.raises(ValueError, match="dataset"):
        Record.from_dict(values)
