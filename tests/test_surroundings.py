"""What stands around a layer: activations, residual branches, and models that cannot be traced."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmark import models, surroundings
from benchmark.activations import GAINS, gain_of
from benchmark.initialization import initialize
from benchmark.layers import Layer, describe
from tests.random_state import global_state_kept


def layers_of(architecture: str) -> dict[str, Layer]:
    with torch.device("meta"):
        model = models.build(architecture, channels=3, classes=10, image_size=64, seed=0)
    return {layer.name: layer for layer, _ in describe(model)}


def ends(architecture: str) -> list[str]:
    return [name for name, layer in layers_of(architecture).items() if layer.role == "residual_end"]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet18", [f"layer{i}.{j}.conv2" for i in range(1, 5) for j in range(2)]),
        (
            "resnet50",
            [f"layer{i}.{j}.conv3" for i, n in enumerate((3, 4, 6, 3), 1) for j in range(n)],
        ),
        ("convmixer_256_8(depth=3)", [f"blocks.{i}.0.fn.0" for i in range(3)]),
        ("plain_cnn", []),
        ("vgg11", []),
        ("densenet121", []),
    ],
)
def test_a_residual_branch_ends_with_its_last_weight(
    architecture: str, expected: list[str]
) -> None:
    """Behind a projection shortcut or none, squeeze and excitation, and norms."""
    assert ends(architecture) == expected


def test_the_ends_of_other_kinds_of_blocks() -> None:
    assert {name.split(".", 3)[-1] for name in ends("test_nfnet")} == {"conv3"}
    assert {name.split(".", 4)[-1] for name in ends("mobilenetv3_small_050")} == {"conv_pwl"}
    mixer = {name.split(".", 2)[-1] for name in ends("mixer_s16_224")}
    assert mixer == {"mlp_tokens.fc2", "mlp_channels.fc2"}


def test_pooling_in_place_of_attention_is_a_branch_without_a_weight() -> None:
    """PoolFormer's token mixer has no weight: the stem before it must not be taken for its end."""
    found = layers_of("poolformer_s12")
    assert found["stem.conv"].role == "stem"
    assert all("mlp.fc2" in name for name in ends("poolformer_s12"))


def test_activations_behind_layers() -> None:
    vit = layers_of("test_vit(img_size=64)")
    assert {vit[f"blocks.0.{n}"].activation for n in ("attn.qkv", "attn.proj", "mlp.fc2")} == {None}
    assert vit["blocks.0.mlp.fc1"].activation == "gelu"
    assert vit["head"].activation is None
    net = layers_of("efficientnet_b0")
    assert net["conv_stem"].activation == "silu"
    assert net["blocks.1.0.se.conv_expand"].activation == "sigmoid"
    assert net["blocks.1.0.conv_pwl"].activation is None
    assert layers_of("resnet50")["layer1.0.conv3"].activation == "relu"


@pytest.mark.parametrize(
    ("module", "name", "gain"),
    [
        (nn.ReLU(), "relu", math.sqrt(2)),
        (nn.LeakyReLU(0.2), "leaky_relu", nn.init.calculate_gain("leaky_relu", 0.2)),
        (nn.PReLU(), "leaky_relu", nn.init.calculate_gain("leaky_relu", 0.25)),
        (nn.SELU(), "selu", 0.75),
        (nn.ELU(), "elu", GAINS["elu"]),
        (nn.Tanh(), "tanh", 5 / 3),
        (nn.Sigmoid(), "sigmoid", 1.0),
        (nn.GELU(), "gelu", GAINS["gelu"]),
        (nn.GELU(approximate="tanh"), "gelu", GAINS["gelu"]),
        (nn.SiLU(), "silu", GAINS["silu"]),
        (nn.ReLU6(), "relu6", GAINS["relu6"]),
        (nn.Hardswish(), "hardswish", GAINS["hardswish"]),
        (nn.Mish(), "mish", GAINS["mish"]),
        (nn.Identity(), None, 1.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_every_activation_is_recognised_behind_a_norm(module, name, gain: float) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), module, nn.Linear(4, 2))
    layer = describe(model)[0][0]
    assert layer.activation == name
    assert layer.gain == pytest.approx(gain)


@pytest.mark.parametrize(
    "name", sorted(set(GAINS) - {"sigmoid", "hardsigmoid", "tanh", "selu", "relu"})
)
def test_a_gain_that_torch_does_not_list_keeps_the_second_moment(name: str) -> None:
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    moment = torch.trapezoid(getattr(F, name)(z) ** 2 * density, z)
    assert gain_of(name) == pytest.approx(float(moment) ** -0.5, abs=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "selu", "relu"])
def test_the_other_gains_are_torchs(name: str) -> None:
    assert gain_of(name) == pytest.approx(nn.init.calculate_gain(name))


def test_a_model_that_cannot_be_traced_has_layers_without_surroundings() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("not with this input")

    found = [layer for layer, _ in describe(Odd())]
    assert [layer.role for layer in found] == ["stem", "head"]
    assert {layer.activation for layer in found} == {None}


def test_looking_at_a_model_changes_nothing_of_it() -> None:
    model = models.build("test_resnet", channels=3, classes=10, image_size=32, seed=0).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with global_state_kept():
        describe(model)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("architecture", models.names("test_*"))
def test_every_conv_and_linear_weight_of_timms_test_models_is_found_once(architecture: str) -> None:
    with torch.device("meta"):
        model = models.build(architecture, channels=3, classes=10, image_size=160, seed=0)
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    expected = [id(m.weight) for m in model.modules() if isinstance(m, kinds)]
    found = describe(model)
    assert sorted(id(weight) for _, weight in found) == sorted(set(expected))
    assert [layer.role for layer, _ in found].count("stem") == 1
    assert [layer.role for layer, _ in found].count("head") == 1
    assert all(model.get_parameter(layer.parameter) is weight for layer, weight in found)
    standardised = {layer.standardised for layer, _ in found if layer.kind == "conv"}
    assert standardised <= ({True, False} if architecture == "test_nfnet" else {False})


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "plain_cnn"])
def test_models_that_are_built_alike_are_traced_once(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "_kept", {})
    sizes = {"channels": 1, "classes": 10, "image_size": 32}
    first, second = (models.build(architecture, seed=seed, **sizes) for seed in (0, 1))
    models.rebuilt(first)
    traced = [layer for layer, _ in describe(first)]
    assert [layer for layer, _ in describe(second)] == traced
    monkeypatch.setattr(surroundings, "_trace", lambda model: pytest.fail("traced again"))
    assert [layer for layer, _ in describe(second)] == traced


def test_a_model_that_was_changed_is_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_kept", {})
    model = models.build("plain_cnn", channels=1, classes=10, image_size=32, seed=0)
    assert {layer.activation for layer, _ in describe(model)} == {"relu", None}
    model.stages[0][1] = nn.Tanh()
    assert describe(model)[0][0].activation == "tanh"
    calls: list[nn.Module] = []
    original = surroundings._trace
    monkeypatch.setattr(surroundings, "_trace", lambda one: [calls.append(one), original(one)][1])
    residual = models.build("test_resnet", channels=1, classes=10, image_size=32, seed=0)
    initialize(residual, "rezero")
    describe(residual)
    assert len(calls) > 1
