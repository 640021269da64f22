"""Recipes: impossible values are refused, names are those of timm."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from benchmark.recipe import Recipe, check_names
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
    assert PROTOCOL == 3
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
    ],
)
def test_what_timm_would_refuse_is_found_with_its_key(
    values: dict[str, Any], path: tuple[str, ...], message: str
) -> None:
    [(where, what)] = check_names(Recipe.model_validate(values))
    assert where == path
    assert message in what


def test_all_wrong_arguments_are_found_at_once() -> None:
    recipe = Recipe(optimizer_args={"a": 1, "b": 2}, schedule_args={"c": 3})
    assert [path for path, _ in check_names(recipe)] == [
        ("optimizer_args", "a"),
        ("optimizer_args", "b"),
        ("schedule_args", "c"),
    ]
