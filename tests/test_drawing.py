"""Drawing weights for model-level methods: streams by name, packed parts, float32."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from benchmark.drawing import draw, in_float32
from benchmark.layers import Layer, describe


def normal(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
    weight.normal_(generator=generator)


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    draw(describe(model), normal, torch.Generator().manual_seed(seed))
    return model


def test_a_layers_draw_depends_on_its_name_and_the_seed_alone() -> None:
    small = drawn(nn.Sequential(OrderedDict(b=nn.Linear(4, 4))))
    large = drawn(nn.Sequential(OrderedDict(a=nn.Linear(4, 4), b=nn.Linear(4, 4))))
    other = drawn(nn.Sequential(OrderedDict(b=nn.Linear(4, 4))), seed=1)
    assert torch.equal(small.b.weight, large.b.weight)
    assert not torch.equal(large.a.weight, large.b.weight)
    assert not torch.equal(small.b.weight, other.b.weight)


def test_a_packed_weight_is_filled_part_by_part() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_heads, self.qkv = 2, nn.Linear(4, 12)

    def by_part(weight: torch.Tensor, layer: Layer, generator: torch.Generator) -> None:
        assert weight.shape == (4, 4)
        weight.fill_({"q": 1.0, "k": 2.0, "v": 3.0}[layer.part])

    model = nn.Sequential(Attention())
    draw(describe(model), by_part, torch.Generator())
    assert model[0].qkv.weight[:, 0].tolist() == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


def test_a_narrow_model_is_float32_within_and_narrow_again_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 3).bfloat16(), nn.BatchNorm1d(3))
    parameters = {id(parameter) for parameter in model.parameters()}

    def fail() -> None:
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), in_float32(model):
        fail()
    assert model[0].weight.dtype == torch.bfloat16
    assert model[1].weight.dtype == torch.float32
    assert {id(parameter) for parameter in model.parameters()} == parameters
