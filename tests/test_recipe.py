"""Recipes: impossible values are refused, names are those of timm."""

from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from timm.scheduler import create_scheduler_v2

from benchmark.recipe import Recipe, Schedule, check_names
from benchmark.training.optimization import make_optimizer, make_schedule
from benchmark.trial import PROTOCOL

DEFAULTS = {
    "epochs": 10,
    "batch_size": 128,
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "weight_decay": 0.0005,
    "weight_decay_on_norm_and_bias": False,
    "optimizer_args": {},
    "schedule": "cosine",
    "schedule_args": {},
    "warmup_epochs": 0,
    "label_smoothing": 0.0,
    "augmentation": [],
    "clip_gradient": None,
    "dtype": "float32",
    "data_seed": "fixed",
    "validation_fraction": 0.1,
    "image_size": "auto",
}


def test_defaults_stay_while_the_protocol_does() -> None:
    """A trial's id leaves out defaults: with another one the same id would mean another trial."""
    assert PROTOCOL == 4
    assert Recipe().model_dump(mode="json") == DEFAULTS


def test_every_key_is_described() -> None:
    assert [name for name, field in Recipe.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"epochs": True},
        {"epochs": "3"},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": -0.1},
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"weight_decay": -1e-4},
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"validation_fraction": 0.0},
        {"validation_fraction": 0.6},
        {"clip_gradient": 0.0},
        {"image_size": 0},
        {"image_size": "big"},
        {"dtype": "float16"},
        {"data_seed": "random"},
        {"schedule": "plateau"},
        {"augmentation": ["mixup"]},
        {"augmentation": ["flip", "flip"]},
        {"augmentation": "flip"},
        {"optimizer_args": {"momentum": float("nan")}},
        {"optimizer_args": {"momentum": object()}},
        {"warmup_epochs": -1},
        {"epochs": 5, "warmup_epochs": 5},
        {"epoch": 5},
    ],
)
def test_impossible_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(values)


@pytest.mark.parametrize("nothing", ["none", None, []])
def test_augmentation_none_is_the_empty_list(nothing: Any) -> None:
    assert Recipe(augmentation=nothing) == Recipe()


def test_the_order_of_augmentations_makes_no_other_recipe() -> None:
    one = Recipe.model_validate({"augmentation": ["flip", "shift_crop"]})
    other = Recipe.model_validate({"augmentation": ["shift_crop", "flip"]})
    assert one == other
    assert one.model_dump() == other.model_dump()


def test_equal_recipes_hash_alike_though_their_arguments_are_dictionaries() -> None:
    one = Recipe(optimizer_args={"momentum": 0.9, "nesterov": True})
    other = Recipe(optimizer_args={"nesterov": True, "momentum": 0.9})
    assert one == other
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"optimizer": "adamw", "optimizer_args": {"betas": [0.9, 0.99]}},
        {"optimizer": "lion", "warmup_epochs": 2, "schedule_args": {"min_lr": 1e-5}},
        {"schedule": "constant", "warmup_epochs": 1},
        {"schedule": "multistep", "schedule_args": {"decay_milestones": [3, 6]}},
        {"schedule": "step", "schedule_args": {"decay_epochs": 3, "decay_rate": 0.5}},
        {"schedule": "poly"},
        {"schedule": "tanh"},
        {"warmup_epochs": 1, "schedule_args": {"warmup_lr": 0.05, "noise": 0.5, "noise_std": 0.1}},
    ],
)
def test_what_timm_takes_passes(values: dict[str, Any]) -> None:
    assert check_names(Recipe.model_validate(values)) == []


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"optimizer": "addamw"}, ("optimizer",), "did you mean 'adamw'"),
        (
            {"optimizer_args": {"momentun": 0.9}},
            ("optimizer_args", "momentun"),
            "did you mean 'momentum'",
        ),
        (
            {"optimizer_args": {"lr": 0.1}},
            ("optimizer_args", "lr"),
            "is set by the recipe's key 'learning_rate'",
        ),
        (
            {"optimizer": "adamw", "optimizer_args": {"betas": [1.5, 0.9]}},
            ("optimizer_args",),
            "Invalid beta",
        ),
        (
            {"schedule_args": {"minlr": 0.1}},
            ("schedule_args", "minlr"),
            "did you mean 'min_lr'",
        ),
        (
            {"schedule_args": {"warmup_epochs": 1}},
            ("schedule_args", "warmup_epochs"),
            "is set by the recipe's key 'warmup_epochs'",
        ),
        (
            {"schedule_args": {"cooldown_epochs": 1}},
            ("schedule_args", "cooldown_epochs"),
            "unknown argument",
        ),
        ({"schedule_args": {"min_lr": "low"}}, ("schedule_args",), "timm cannot make 'cosine'"),
        (
            {"schedule_args": {"decay_epochs": 3}},
            ("schedule_args", "decay_epochs"),
            "ignored by the cosine schedule, which takes min_lr, k_decay, warmup_lr,",
        ),
        (
            {"schedule": "constant", "schedule_args": {"decay_rate": 0.5}},
            ("schedule_args", "decay_rate"),
            "leave it out, or write schedule: step or multistep or poly",
        ),
        (
            {"schedule_args": {"warmup_lr": 1e-6}},
            ("schedule_args", "warmup_lr"),
            "changes nothing without warm-up",
        ),
        (
            {"schedule_args": {"noise_std": 0.1}},
            ("schedule_args", "noise_std"),
            "changes nothing without noise",
        ),
        (
            {"warmup_epochs": 1, "schedule_args": {"warmup_lr": 0.1}},
            ("schedule_args", "warmup_lr"),
            "0.1 is not between 0 and the learning rate 0.05",
        ),
        (
            {"warmup_epochs": 1, "schedule_args": {"warmup_lr": -0.01}},
            ("schedule_args", "warmup_lr"),
            "-0.01 is not between 0",
        ),
        (
            {"schedule_args": {"min_lr": 0.1}},
            ("schedule_args", "min_lr"),
            "0.1 is not between 0 and the learning rate 0.05",
        ),
        (
            {"learning_rate": 1e-6, "warmup_epochs": 1},
            ("warmup_epochs",),
            "begins at 1e-05, above the learning rate 1e-06; write schedule_args: {warmup_lr: 0}",
        ),
    ],
)
def test_what_timm_would_refuse_is_found_with_its_key(
    values: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    [(where, what)] = check_names(Recipe.model_validate(values))
    assert where == path
    assert message in what


def rates(**values: Any) -> list[float]:
    """Return the learning rate of every update, four in each of six epochs."""
    recipe = Recipe.model_validate({"epochs": 6, "learning_rate": 0.1, **values})
    optimizer = make_optimizer(torch.nn.Linear(2, 2), recipe)
    schedule = make_schedule(optimizer, recipe, updates_per_epoch=4)
    found = []
    for update in range(24):
        schedule.step_update(update)
        found.append(optimizer.param_groups[0]["lr"])
    return found


CHANGES = {
    "min_lr": 0.02,
    "k_decay": 0.5,
    "decay_epochs": 2,
    "decay_milestones": [2, 4],
    "decay_rate": 0.3,
    "decay_fn": "cosine",
    "stable_timescale": 3,
    "cycle_mul": 2.0,
    "cycle_decay": 0.5,
    "cycle_limit": 3,
}


NEEDED: dict[str, dict[str, Any]] = {
    "multistep": {"schedule_args": {"decay_milestones": [3]}},
    "step": {"schedule_args": {"decay_epochs": 3}},
    "rsqrt": {"schedule_args": {"stable_timescale": 1}},
}
"""Without these a schedule would do nothing in six epochs, or not be made."""


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_the_arguments_that_pass_are_those_that_change_a_rate(schedule: str) -> None:
    needed = NEEDED.get(schedule, {}).get("schedule_args", {})
    for name, value in CHANGES.items():
        if name not in inspect.signature(create_scheduler_v2).parameters:
            continue
        given = {"schedule": schedule, "schedule_args": {**needed, name: value}}
        passes = not check_names(Recipe.model_validate({"learning_rate": 0.1, **given}))
        changes = rates(**given) != rates(schedule=schedule, schedule_args=needed)
        assert passes == changes, name


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_warm_up_climbs_in_a_line_and_the_schedule_goes_on_by_its_own_clock(schedule: str) -> None:
    given = {"schedule": schedule, **NEEDED.get(schedule, {})}
    found, unwarmed = rates(**given, warmup_epochs=2), rates(**given)
    steps = [later - earlier for earlier, later in pairwise(found[:8])]
    assert found[0] == 1e-5
    assert steps == pytest.approx([steps[0]] * 7)
    assert found[7] + steps[0] <= 0.1 + 1e-12
    if schedule in ("wsd", "rsqrt"):
        assert found[8] == 0.1
    else:
        assert found[8:] == unwarmed[8:]
    if schedule == "cosine":
        assert found[8] == pytest.approx(0.75 * 0.1)


def test_all_wrong_arguments_are_found_at_once() -> None:
    recipe = Recipe(optimizer_args={"a": 1, "b": 2}, schedule_args={"c": 3})
    assert [path for path, _ in check_names(recipe)] == [
        ("optimizer_args", "a"),
        ("optimizer_args", "b"),
        ("schedule_args", "c"),
    ]
