"""Looking at a model on a batch: execution order, and that nothing of it stays behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark import models
from benchmark.propagation import adjust_in_order, observed
from tests.random_state import global_state_kept


class Reversed(nn.Module):
    """Registers its layers in the order opposite to that of execution; two share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Linear(6, 2)
        self.tied = nn.Linear(6, 6)
        self.first = nn.Linear(6, 6)
        self.tied.weight = self.first.weight
        self.idle = nn.Linear(6, 6)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.third(self.tied(self.first(values).relu()).relu())


def test_layers_are_reached_in_execution_order_and_a_shared_weight_once() -> None:
    model, reached = Reversed(), []
    with observed(model):
        adjust_in_order(model, torch.randn(4, 6), lambda _, module, __: reached.append(module))
    assert reached == [model.first, model.third]


def test_what_follows_gets_the_output_of_the_adjusted_layer() -> None:
    model, seen = Reversed(), []

    def double(layer, module, output) -> None:
        before = output()
        with torch.no_grad():
            module.weight.mul_(2)
            module.bias.mul_(2)
        seen.append((module, before, output()))

    values = torch.randn(4, 6)
    with observed(model):
        adjust_in_order(model, values, double)
    (_, before, after), (_, last_before, _) = seen
    assert torch.allclose(after, 2 * before)
    expected = model.third(model.tied(after.relu()).relu()) / 2
    assert torch.allclose(last_before, expected, atol=1e-6)


def test_everything_is_as_it_was_behind_an_observation() -> None:
    model = models.build("test_resnet", channels=3, classes=10, image_size=32, seed=0)
    model.train()
    model.layer1.eval()
    model.conv1[0].weight.requires_grad_(False)
    model.fc = nn.Sequential(nn.Dropout(0.5), model.fc)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    images = torch.randn(4, 3, 32, 32)
    with global_state_kept():
        with observed(model):
            first, again = model(images), model(images)
            assert all(parameter.requires_grad for parameter in model.parameters())
        assert torch.equal(first, again)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert frozen == {"conv1.0.weight"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_cached_attention_biases_can_be_differentiated_again_and_none_is_left() -> None:
    model = models.build("levit_128s", channels=3, classes=2, image_size=224, seed=0)
    biases = [each for name, each in model.named_parameters() if "attention_biases" in name]
    with observed(model):
        for _ in range(2):
            (slope, *_) = torch.autograd.grad(model(torch.randn(2, 3, 224, 224)).sum(), biases)
    assert slope.isfinite().all()
    assert not any(getattr(module, "attention_bias_cache", None) for module in model.modules())


def test_batch_norm_normalises_by_the_batch() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    images = 5 + 3 * torch.randn(8, 3, 6, 6)
    with observed(model):
        outputs = model(images)
    assert outputs.mean().abs() < 1e-5
    assert float(outputs.detach().std()) == pytest.approx(1, abs=0.01)


def test_batch_norm_by_hand_is_batch_norm_and_can_be_differentiated_three_times() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(model[0].weight)
    nn.init.uniform_(model[0].bias)
    images = torch.randn(4, 3, 5, 5)
    with observed(model):
        expected = model(images)
    with observed(model, differentiated=3):
        outputs = model(images)
        value = outputs.pow(4).sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(value, model[0].weight, create_graph=True)
            value = slope.square().sum()
    assert torch.allclose(outputs, expected, atol=1e-5)
    assert slope.abs().min() > 0


def test_an_error_within_leaves_nothing_behind_either() -> None:
    model = Reversed().train()

    def fail(layer, module, output) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), observed(model):
        adjust_in_order(model, torch.randn(4, 6), fail)
    assert model.first.training
    assert not any(module._forward_hooks for module in model.modules())
