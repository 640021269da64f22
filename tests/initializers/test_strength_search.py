"""`best_of` and `worst_of`: spelling, the search, and its draws."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import benchmark
from benchmark.errors import UsageError
from benchmark.treatment import parse_treatment


def score(treatment: str, seed: int = 0) -> float:
    return benchmark.initialize(nn.Linear(24, 12), treatment, seed=seed).layers[0].before.score


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("best_of(orthogonal, k=100)+pa", "best_of(orthogonal)+pa"),
        ("best_of(initializer=kaiming_normal(mode=fan_in), k=5)", "best_of(kaiming_normal, k=5)"),
        (
            "worst_of( kaiming_normal( gain = 1 , mode=fan_out ) )",
            "worst_of(kaiming_normal(mode=fan_out, gain=1.0))",
        ),
        ("best_of(best_of(orthogonal, 2), 3)", "best_of(best_of(orthogonal, k=2), k=3)"),
    ],
)
def test_a_nested_treatment_has_one_spelling(text: str, written: str) -> None:
    assert str(parse_treatment(text)) == written
    assert parse_treatment(written) == parse_treatment(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("best_of(ortogonal)", "did you mean 'orthogonal'"),
        ("best_of(timm)", "fills a whole model"),
        ("best_of(orthogonal, k=0)", "greater than or equal to 1"),
        ("best_of(kaiming_normal(mode=fan_max))", "fan_in or fan_out or fan_avg"),
        ("best_of", "needs its parameter 'initializer'"),
    ],
)
def test_a_wrong_nested_treatment_is_refused_before_anything_is_drawn(
    text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse_treatment(text)


def test_the_best_of_more_draws_is_better_and_the_worst_worse() -> None:
    """The draws of a smaller search are the first of a larger one."""
    best = [score(f"best_of(kaiming_normal, k={k})") for k in (1, 5, 50)]
    worst = [score(f"worst_of(kaiming_normal, k={k})") for k in (1, 5, 50)]
    assert best[0] == worst[0] == score("kaiming_normal")
    assert best[0] >= best[1] > best[2]
    assert worst[0] <= worst[1] < worst[2]


def test_the_kept_draw_is_one_of_the_nested_initializer() -> None:
    model = nn.Linear(24, 12)
    benchmark.initialize(model, "best_of(orthogonal, k=4)")
    gram = model.weight @ model.weight.T
    assert torch.allclose(gram, torch.eye(12), atol=1e-5)


def test_a_layer_without_a_variance_keeps_a_draw() -> None:
    model = nn.Linear(1, 1)
    benchmark.initialize(model, "best_of(kaiming_normal, k=3)")
    assert torch.isfinite(model.weight).all()
