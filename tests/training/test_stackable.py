"""What can be stacked is found by trying: optimizers and models of every kind."""

from __future__ import annotations

import pytest
import torch

from benchmark.initialization import Report
from benchmark.recipe import Recipe
from benchmark.training.course import Candidate
from benchmark.training.stackable import _why_not_model, _why_not_optimizer, why_not
from tests.conftest import make_cell, make_cohort


def why(optimizer: str, **recipe: object) -> str:
    return _why_not_optimizer(optimizer, Recipe(optimizer=optimizer, **recipe), "cpu")


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "lion", "nadamw", "rmsprop"])
def test_elementwise_optimizers_update_stacked_weights(name: str) -> None:
    assert why(name) == ""
    assert why(name, clip_gradient=0.5) == ""


@pytest.mark.parametrize("name", ["lamb", "lars", "muon", "adafactor"])
def test_optimizers_that_look_at_a_whole_weight_do_not(name: str) -> None:
    assert why(name, learning_rate=0.001)


@pytest.mark.parametrize(
    "architecture", ["plain_cnn", "test_resnet", "test_vit(patch_size=2, drop_rate=0.1)"]
)
def test_models_that_follow_their_twins_are_stacked(architecture: str) -> None:
    assert _why_not_model(architecture, 1, 10, 8, "cpu") == ""


def test_random_numbers_that_no_rule_covers_are_a_reason() -> None:
    found = _why_not_model("test_vit(patch_drop_rate=0.5, patch_size=2)", 1, 10, 8, "cpu")
    assert "cannot be stacked" in found
    assert "random" in found


def candidate(model: torch.nn.Module, treatment: str) -> Candidate:
    (trial,) = make_cohort((treatment, 0), cell=make_cell()).trials
    return Candidate(trial, model, Report(treatment, 0, (), 0.0, 0.0))


@pytest.mark.parametrize(
    "other", [torch.nn.Linear(2, 3), torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())]
)
def test_networks_of_another_form_are_not_stacked(other: torch.nn.Module) -> None:
    both = [candidate(torch.nn.Linear(2, 2), "timm"), candidate(other, "orthogonal")]
    found = why_not(both, 1, 10, 8)
    assert found.startswith("orthogonal makes another network of plain_cnn")
    assert found.endswith("than timm")
