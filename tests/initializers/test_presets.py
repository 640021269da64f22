"""`torch`, `timm_vit` and `timm_jax` against the functions that they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from timm.layers.weight_init import init_weight_jax, init_weight_vit
from timm.models import named_apply
from torch import nn

import benchmark
from benchmark import models


class Small(nn.Module):
    """Two layers of each kind that the presets tell apart, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(64, 192), "proj": nn.Linear(64, 64)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(64, 256)})
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 10)


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("treatment", "reference"), [("timm_vit", init_weight_vit), ("timm_jax", init_weight_jax)]
)
def test_a_preset_draws_from_the_distributions_of_timms_function(treatment, reference) -> None:
    """Kolmogorov-Smirnov on every parameter, alpha = 0.001; constants must be equal."""
    ours, theirs = Small(), Small()
    theirs.load_state_dict(ours.state_dict())
    benchmark.initialize(ours, treatment, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        named_apply(reference, theirs)
    expected = parameters(theirs)
    for name, values in parameters(ours).items():
        other = expected[name]
        if other.numel() > 1 and other.std() == 0:
            assert torch.equal(values, other), name
        elif not torch.equal(values, other):
            assert stats.ks_2samp(values.flatten(), other.flatten()).pvalue > 0.001, name
            assert values.std() / other.std() == pytest.approx(1, abs=0.2), name
    assert (ours.head.weight == 0).all()
    assert (ours.head.bias == 0).all()


def test_torch_is_what_the_constructors_give() -> None:
    """The largest of thousands of uniform draws is near the bound, and none is beyond it."""
    model = nn.Sequential(
        nn.Conv2d(4, 3000, 3), nn.ConvTranspose2d(3000, 4, 3, groups=2), nn.Linear(6, 3000)
    )
    built = parameters(model)
    benchmark.initialize(model, "torch", seed=1)
    for name, values in parameters(model).items():
        layer = model[int(name[0])]
        fan, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        bound = 1 / math.sqrt(fan)
        assert not torch.equal(values, built[name])
        assert values.abs().max() <= bound
        if values.numel() >= 3000:
            assert values.abs().max() > 0.995 * bound
            assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.numel())
            assert built[name].abs().max() == pytest.approx(bound, rel=0.005)


@pytest.mark.parametrize("treatment", ["torch", "timm_vit", "timm_jax"])
def test_a_preset_gives_a_layer_the_same_bytes_in_another_model(treatment: str) -> None:
    one = nn.ModuleDict({"fc": nn.Linear(8, 8), "head": nn.Linear(8, 2)})
    other = nn.ModuleDict(
        {"added": nn.Conv2d(1, 2, 3), "fc": nn.Linear(8, 8), "head": nn.Linear(8, 2)}
    )
    for model in (one, other):
        benchmark.initialize(model, treatment, seed=4)
    assert torch.equal(one["fc"].weight, other["fc"].weight)
    assert torch.equal(one["fc"].bias, other["fc"].bias)


@pytest.mark.parametrize("treatment", ["torch", "timm_vit", "timm_jax"])
def test_a_bfloat16_model_gets_the_float32_values_rounded(treatment: str) -> None:
    full, half = (
        models.build("test_vit", channels=3, classes=10, image_size=32, seed=0) for _ in range(2)
    )
    half.bfloat16()
    benchmark.initialize(full, treatment, seed=1)
    benchmark.initialize(half, treatment, seed=1)
    for name, values in parameters(full).items():
        assert torch.equal(half.get_parameter(name), values.bfloat16()), name
