"""What a batch does in a model: closed forms, the order of execution, and nothing left behind."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.signals import signals


def batch(*shape: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(*shape, generator=generator)
    return images, torch.randint(classes, (shape[0],), generator=generator)


class Reversed(nn.Module):
    """Registers its layers in the opposite order of their use."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.first = nn.Linear(4, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(images))


def test_layers_come_in_order_of_execution() -> None:
    found = signals(Reversed(), *batch(8, 4))
    assert [layer.name for layer in found.layers] == ["first", "last"]


def test_an_orthogonal_linear_net_is_a_dynamical_isometry() -> None:
    model = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(4)))
    for layer in model:
        nn.init.orthogonal_(layer.weight)
    images, labels = batch(64, 3)
    found = signals(model, images, labels)
    assert found.isometry_distance == pytest.approx(0.0, abs=1e-5)
    variances = [layer.variance + layer.mean**2 for layer in found.layers]
    assert variances == pytest.approx([float(images.square().mean())] * 4, rel=1e-5)
    with torch.no_grad():
        model[0].weight *= 3.0
    distance = signals(model, images, labels).isometry_distance
    assert distance == pytest.approx(math.log(3.0), rel=1e-5)


def test_a_singular_value_that_is_0_but_for_rounding_leaves_no_distance() -> None:
    model = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))
    images, labels = batch(64, 12)
    assert math.isfinite(signals(model, images, labels).isometry_distance)
    with torch.no_grad():
        model[2].weight[2] = 0.3 * model[2].weight[0] + 0.7 * model[2].weight[1]
    assert math.isnan(signals(model, images, labels).isometry_distance)


def test_the_effective_rank_is_one_direction_of_four_where_all_inputs_are_alike() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3))
    nn.init.eye_(model[0].weight)
    images, labels = batch(40, 4)
    images[:] = images[0]
    assert signals(model, images, labels).layers[0].effective_rank == pytest.approx(0.25, abs=1e-3)
    equal, labels = torch.eye(4).repeat(10, 1), labels
    assert signals(model, equal, labels).layers[0].effective_rank == pytest.approx(1.0)


def test_gradients_are_those_of_the_mean_cross_entropy() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    images, labels = batch(16, 4)
    found = signals(model, images, labels)
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    assert found.loss == pytest.approx(float(loss.detach()))
    for layer, module in zip(found.layers, (model[0], model[2]), strict=True):
        assert layer.weight_gradient == pytest.approx(float(module.weight.grad.norm()), rel=1e-5)


def test_nothing_of_the_model_or_of_random_state_changes() -> None:
    model = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 4, 3),
            norm=nn.BatchNorm2d(4),
            drop=nn.Dropout(0.5),
            flat=nn.Flatten(),
            head=nn.Linear(4 * 4, 3),
        )
    )
    model.train()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    images, labels = batch(8, 1, 4, 4)
    first, second = signals(model, images, labels), signals(model, images, labels)
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_frozen_and_unreached_layers_have_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    model.add_module("unused", nn.ModuleList([nn.Linear(2, 2)]))
    model.forward = lambda images: model[1](model[0](images))  # type: ignore[method-assign]
    model[0].weight.requires_grad_(False)
    found = signals(model, *batch(8, 4))
    assert [layer.name for layer in found.layers] == ["0", "1"]
    assert math.isnan(found.layers[0].weight_gradient)
    assert found.layers[0].output_gradient > 0


class Cubed(torch.autograd.Function):
    """An operation whose way back looks at numbers: not for several gradients at a time."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        (values,) = context.saved_tensors
        assert math.isfinite(gradient.sum().item())
        return 3 * values**2 * gradient


def test_the_jacobian_of_an_operation_that_takes_one_gradient_at_a_time_is_found() -> None:
    class Net(nn.Module):
        def __init__(self, cube: Callable[[torch.Tensor], torch.Tensor]) -> None:
            super().__init__()
            self.first, self.cube, self.last = nn.Linear(4, 4), cube, nn.Linear(4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.last(self.cube(self.first(images)))

    own = Net(Cubed.apply)
    usual = Net(lambda values: values**3)
    usual.load_state_dict(own.state_dict())
    found = [signals(model, *batch(8, 4)).isometry_distance for model in (own, usual)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert math.isfinite(found[0])
