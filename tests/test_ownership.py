"""Ownership: what an initializer changes without having said so is found, whatever it is."""

from __future__ import annotations

import pytest
import torch
from timm.layers import CondConv2d, LayerScale
from torch import nn

import benchmark
from benchmark import initializer, plugins
from benchmark.errors import UsageError
from benchmark.layers import describe
from benchmark.ownership import kinds
from benchmark.training.course import Candidate, Course
from tests.conftest import make_cohort


class Net(nn.Module):
    """A parameter of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.table = nn.Embedding(3, 4)
        self.pos_embed = nn.Parameter(torch.ones(1, 4))
        self.ls1 = LayerScale(4)
        self.temperature = nn.Parameter(torch.ones(1))


NAMES = {
    "fc.bias": "biases",
    "norm.weight": "norms",
    "table.weight": "embeddings",
    "pos_embed": "embeddings",
    "ls1.gamma": "scales",
    "temperature": "other",
    "norm.running_mean": "buffers",
}


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test enter methods that are gone behind it."""
    plugins.initializers.all()
    monkeypatch.setattr(plugins.initializers, "_methods", dict(plugins.initializers._methods))


def test_every_parameter_and_buffer_but_the_weights_has_its_kind() -> None:
    model = Net()
    found = kinds(model, [layer for layer, _ in describe(model)])
    assert {name: found[name] for name in NAMES} == NAMES
    assert "fc.weight" not in found


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
@pytest.mark.parametrize("declared", [False, True])
def test_a_change_is_refused_unless_its_kind_is_declared(
    name: str, kind: str, declared: bool
) -> None:
    touches = (kind,) if declared else tuple(set(NAMES.values()) - {kind})

    @initializer("changes", summary="one tensor", level="model", touches=touches)
    def changes(model, generator) -> None:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with torch.no_grad():
            tensors[name].fill_(0.25)

    if declared:
        benchmark.initialize(Net(), "changes")
    else:
        with pytest.raises(UsageError, match=rf'changed {name};.*touches=\("{kind}",\)'):
            benchmark.initialize(Net(), "changes")


def freeze(model: nn.Module) -> None:
    model.fc.weight.requires_grad_(False)


def replace(model: nn.Module) -> None:
    model.fc.weight = nn.Parameter(model.fc.weight.detach().clone())


def widen(model: nn.Module) -> None:
    model.fc.weight.data = model.fc.weight.data.double()


def add(model: nn.Module) -> None:
    model.alpha = nn.Parameter(torch.zeros(1))


def mode(model: nn.Module) -> None:
    model.norm.eval()


def poison(model: nn.Module) -> None:
    model.fc.weight.data[0, 0] = torch.nan


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (freeze, "made another parameter of fc.weight"),
        (replace, "made another parameter of fc.weight"),
        (widen, "made another parameter of fc.weight"),
        (add, "added alpha.*changes_architecture=True"),
        (mode, "left norm in another mode"),
        (poison, "non-finite weights in fc.weight"),
    ],
)
def test_a_model_of_another_makeup_is_refused(harm, message: str) -> None:
    @initializer("harmful", summary="does harm", level="model")
    def harmful(model, generator) -> None:
        harm(model)

    with pytest.raises(UsageError, match=message):
        benchmark.initialize(Net(), "harmful")


def test_a_method_that_changes_the_architecture_may_add_and_its_layers_are_found_anew() -> None:
    @initializer("grows", summary="adds", level="model", changes_architecture=True)
    def grows(model, generator) -> None:
        model.more = nn.Linear(4, 4)

    report = benchmark.initialize(Net(), "grows")
    assert [layer.name for layer in report.layers] == ["fc", "more"]


class Unusual(nn.Module):
    """Weights that are no Conv or Linear layer's, beside some that are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.rnn_tokens = nn.LSTM(8, 6)
        self.experts = CondConv2d(6, 4, 3, num_experts=3, bias=True)
        self.temperature = nn.Parameter(torch.ones(4, 1, 1))
        self.gamma = nn.Parameter(torch.ones(4, 4))
        self.norm = nn.LayerNorm((4, 4))
        self.fc = nn.Linear(4, 2)


def test_weights_that_no_treatment_reaches_are_named_in_report_and_record() -> None:
    model = Unusual()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    report = benchmark.initialize(model, "xavier_normal+pa")
    left = ("rnn_tokens.weight_ih_l0", "rnn_tokens.weight_hh_l0", "experts.weight")
    assert report.untreated == left
    assert all(torch.equal(model.get_parameter(name), before[name]) for name in left)
    assert str(report).endswith(f"not treated: {', '.join(left)}")
    treated = {"attention.in_proj_weight", "attention.out_proj.weight", "fc.weight"}
    assert not any(torch.equal(model.get_parameter(name), before[name]) for name in treated)
    trial = make_cohort(("timm", 0)).trials[0]
    course = Course(Candidate(trial, model, report), classes=2)
    assert course.state()["strength"]["untreated"] == list(left)
    usual = benchmark.initialize(Net(), "xavier_normal")
    assert usual.untreated == ()
    assert "untreated" not in Course(Candidate(trial, Net(), usual), 2).state()["strength"]


def test_a_method_that_touches_other_parameters_reaches_them() -> None:
    @initializer("reaches", summary="all", level="model", touches=("other",))
    def reaches(model, generator) -> None:
        nn.init.ones_(model.rnn_tokens.weight_hh_l0)

    assert benchmark.initialize(Unusual(), "reaches").untreated == ()
